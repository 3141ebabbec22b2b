from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from temporalio.service import RPCError

import scheduler_sync
from api.app import create_app
from api.resources import Resources, open_resources
from engine.settings import Settings
from models.repositories.executions import Executions, NewExecution
from models.repositories.node_executions import NodeExecutions
from models.rows import Finish
from models.session import Database
from models.tenancy import TenantId
from scheduler_sync import open_relay
from tests.api.conftest import KEY, app, caller, document, resources, settings, tenant, worker
from tests.models.server import free_port

__all__ = ["app", "resources", "settings", "tenant", "worker"]
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_sync, "STRANDED_AFTER", timedelta(0))


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def _nothing_left_behind(_at_once: None, settings: Settings, resources: Resources, worker: None) -> None:
    """Start what other tests of the session have accepted and not started."""
    async with open_relay(settings) as relay:
        for _ in range(20):
            if await relay.run_once() == 0:
                return


async def _stranded(settings: Settings) -> UUID:
    """An execution that was accepted while Temporal was away."""
    away = settings.override({"temporal": {"address": f"127.0.0.1:{free_port()}"}})
    async with open_resources(away) as opened, caller(create_app(away, opened), KEY) as api:
        answer = await api.post("/executions", json={"document": document(), "input": {"n": 8}})
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    return UUID(answer.json()["id"])


async def test_a_start_that_temporal_did_not_hear_of_is_relayed_and_runs(
    settings: Settings, tenant: TenantId, worker: None
) -> None:
    execution_id = await _stranded(settings)
    async with open_relay(settings) as relay:
        await relay.run_once()
        handle = await relay.temporal.handle(tenant, execution_id)
        await handle.result()
        execution = await Executions(relay.database).get(tenant, execution_id)
        later = await relay.run_once()

    assert execution.status == "success"
    assert later == 0


async def test_two_relays_start_an_execution_once(settings: Settings, tenant: TenantId, worker: None) -> None:
    await _stranded(settings)
    async with open_relay(settings) as one, open_relay(settings) as other:
        counts = await asyncio.gather(one.run_once(), other.run_once())

    assert sum(counts) == 1


async def test_a_bad_row_does_not_keep_the_others_from_starting(
    settings: Settings, tenant: TenantId, worker: None
) -> None:
    async with open_relay(settings) as relay:
        executions = Executions(relay.database)
        bad = await executions.create_execution(tenant, NewExecution(uuid4(), uuid4(), "without a version"))
        good = await _stranded(settings)

        started = await relay.run_once()
        at_once = await relay.run_once()  # the bad one has to wait now

        assert (started, at_once) == (1, 0)
        assert (await executions.get(tenant, good)).status != "pending"
        assert (await executions.get(tenant, bad.execution.id)).status == "pending"
        await _close(relay.database, tenant, bad.execution.id)


async def test_a_young_child_is_left_to_its_parent_and_an_orphan_is_closed(
    settings: Settings, tenant: TenantId, worker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_relay(settings) as relay:
        executions = Executions(relay.database)
        parent_id = await _stranded(settings)
        await relay.run_once()
        await (await relay.temporal.handle(tenant, parent_id)).result()
        parent = await executions.get(tenant, parent_id)
        new = NewExecution(parent.workflow_id, parent.version_id, "child", parent_execution_id=parent_id)
        child = (await executions.create_execution(tenant, new)).execution

        assert await relay.run_once() == 0
        assert (await executions.get(tenant, child.id)).status == "pending"

        monkeypatch.setattr(scheduler_sync, "CHILD_STRANDED_AFTER", timedelta(0))
        assert await relay.run_once() == 0
        closed = await executions.get(tenant, child.id)

        assert closed.status == "cancelled"
        with pytest.raises(RPCError):
            await (await relay.temporal.handle(tenant, child.id)).describe()


async def test_the_relay_waits_while_temporal_is_away(settings: Settings, tenant: TenantId, worker: None) -> None:
    execution_id = await _stranded(settings)
    away = settings.override({"temporal": {"address": f"127.0.0.1:{free_port()}"}})
    async with open_relay(away) as deaf:
        assert await deaf.run_once() == 0
        assert (await Executions(deaf.database).get(tenant, execution_id)).status == "pending"
    async with open_relay(settings) as relay:
        assert await relay.run_once() == 1


async def _close(database: Database, tenant: TenantId, execution_id: UUID) -> None:
    """End a row that can never run, for the tests behind this one."""
    finish = Finish(tenant, execution_id, "cancelled", 0, 0, datetime.now(UTC))
    await NodeExecutions(database).write([], finishes=[finish])
