"""One node as one activity, tried again after its worker was lost: what the record says decides whether it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
import pytest_asyncio
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from engine.activities.clients.credentials import open_credentials
from engine.activities.clients.objects import ObjectStore, Values
from engine.activities.node import MAX_LOST_WORKERS, NodeRun
from engine.activities.program import Programs
from engine.activities.recorder import Recorder
from engine.activities.runtime import Runtime
from engine.activities.starting import Versions, execution_input
from engine.contracts import NodeRequest
from engine.dag.outcome import Outcome
from engine.dag.values import inline, read
from engine.errors import EXECUTION_FAILED, OUTCOME_UNKNOWN
from engine.expressions import AstReferenceParser, Evaluator
from engine.nodes.outbound.addresses import HttpPolicy
from engine.nodes.outbound.client import HttpClient
from engine.nodes.ports import Ports
from engine.nodes.registry import built_in_catalogue
from engine.nodes.storage.local import LocalFiles
from engine.settings import load_settings
from models.repositories.executions import Executions, NewExecution
from models.repositories.node_executions import NodeExecutions
from models.repositories.tenants import Tenants
from models.repositories.workflows import Workflows
from models.rows import NodeRow
from models.session import Database
from models.tenancy import TenantId
from tests.faults.effects import EffectServer, answer_to, running_effects

SERVER_RETRY = {"interval": "1ms", "max_attempts": 2}


@pytest_asyncio.fixture
async def effects(tmp_path: Path) -> AsyncIterator[EffectServer]:
    async with running_effects(tmp_path / "effects.log") as server:
        await server.set_latency(0, 1)
        yield server


@pytest_asyncio.fixture
async def runtime(database: Database, tmp_path: Path) -> AsyncIterator[Runtime]:
    objects = ObjectStore.open((tmp_path / "objects").as_uri())
    catalogue = built_in_catalogue()
    recorder = Recorder(database)
    async with Evaluator(processes=1) as evaluator, HttpClient(HttpPolicy(allowed_hosts=["127.0.0.1"])) as http:
        yield Runtime(
            database=database,
            recorder=recorder,
            values=Values(objects),
            versions=Versions(database, catalogue, AstReferenceParser()),
            programs=Programs(catalogue),
            evaluator=evaluator,
            ports=Ports(http=http, files=LocalFiles(tmp_path / "files")),
            credentials=open_credentials(load_settings(data_dir=tmp_path), database, http),
            temporal=cast("Client", None),  # no node asks for it
        )
        await recorder.close()


@dataclass(slots=True)
class Tried:
    """A node of a started execution, of which an activity can make tries."""

    runtime: Runtime
    tenant: TenantId
    meta: dict[str, Any]
    effects: EffectServer
    last_heartbeat: tuple[Any, ...] = ()

    async def record(self, status: str, **fields: Any) -> None:
        """Put on record what an earlier try, whose worker is gone, had written."""
        row = NodeRow(self.tenant, self.id, "call", "http", status, **fields)
        await NodeExecutions(self.runtime.database).write([row])

    async def run(self, number: int, *, handed_back: tuple[Any, ...] = ()) -> Outcome:
        """Try number `number` as Temporal counts; `handed_back` is what the try before it said last."""
        environment = ActivityEnvironment()
        environment.info = replace(environment.info, attempt=number, heartbeat_details=list(handed_back))
        environment.on_heartbeat = self._note
        request = NodeRequest(self.meta, 0, "call", [], 0, {}, 32_768)
        bound = await self.runtime.execution(self.meta)

        async def activity() -> list[Any]:
            return await NodeRun(bound, request).run()

        return Outcome.from_wire(await environment.run(activity))

    def _note(self, *details: Any) -> None:
        self.last_heartbeat = details

    async def calls(self) -> int:
        return len(await self.effects.calls())

    async def row(self) -> NodeRow:
        await self.runtime.recorder.flush()
        (row,) = await NodeExecutions(self.runtime.database).list(self.tenant, self.id)
        return row

    @property
    def id(self) -> UUID:
        return UUID(self.meta["execution_id"])


async def start(runtime: Runtime, tenant: TenantId, effects: EffectServer, method: str, **node: Any) -> Tried:
    """An execution of one http node that sends {"n": 5}."""
    params = {"method": method, "url": f"{effects.url}/effect/call", "body": {"n": 5}}
    document = {"name": "one", "nodes": [{"id": "call", "type": "http", "params": params, **node}], "edges": []}
    await Tenants(runtime.database).ensure(tenant, str(tenant))
    saved = await Workflows(runtime.database).create(tenant, document)
    new = NewExecution(saved.workflow.id, saved.version.id, "one", inline({}))
    await Executions(runtime.database).create_execution(tenant, new)
    given = await execution_input(runtime.database, runtime.versions, tenant, new.id)
    return Tried(runtime, tenant, given.meta, effects)


async def failure_of(tried: Tried, number: int, **options: Any) -> dict[str, Any]:
    """The error of a try that fails for good."""
    with pytest.raises(ApplicationError) as caught:
        await tried.run(number, **options)
    assert caught.value.non_retryable
    error = Outcome.from_wire(caught.value.details[0]).error
    assert error is not None
    return error


async def test_a_success_on_record_stands_with_what_it_assigned(
    runtime: Runtime, tenant: TenantId, effects: EffectServer
) -> None:
    tried = await start(runtime, tenant, effects, "PUT")
    await tried.record("success", attempts=2, output=inline({"body": 1}), assigned={"kept": inline(7)}, port="out")
    outcome = await tried.run(2)
    assert (outcome.status, outcome.attempts, read(outcome.output)) == ("success", 2, {"body": 1})
    assert outcome.assigned == {"kept": inline(7)}
    assert await tried.calls() == 0


async def test_a_failure_on_record_stands(runtime: Runtime, tenant: TenantId, effects: EffectServer) -> None:
    tried = await start(runtime, tenant, effects, "POST")
    await tried.record("failed", attempts=1, error={"code": "HTTP_ERROR", "message": "no", "details": {}})
    assert (await failure_of(tried, 2))["code"] == "HTTP_ERROR"
    assert await tried.calls() == 0


async def test_a_call_that_may_be_repeated_runs_again_uncounted(
    runtime: Runtime, tenant: TenantId, effects: EffectServer
) -> None:
    tried = await start(runtime, tenant, effects, "PUT")
    outcome = await tried.run(2)
    assert (outcome.status, outcome.attempts) == ("success", 1)
    assert read(outcome.output)["body"] == {"answer": answer_to(5)}
    row = await tried.row()
    assert (row.status, row.attempts) == ("success", 1)


async def test_a_call_that_may_not_be_repeated_fails_when_its_worker_was_lost(
    runtime: Runtime, tenant: TenantId, effects: EffectServer
) -> None:
    tried = await start(runtime, tenant, effects, "POST")
    await tried.record("running", attempts=1)
    assert (await failure_of(tried, 2))["code"] == OUTCOME_UNKNOWN
    assert await tried.calls() == 0


async def test_a_lost_worker_uses_up_an_attempt_of_a_call_that_may_not_be_repeated(
    runtime: Runtime, tenant: TenantId, effects: EffectServer
) -> None:
    tried = await start(runtime, tenant, effects, "POST", retry=SERVER_RETRY)
    await tried.record("running", attempts=1)
    outcome = await tried.run(2)
    assert (outcome.status, outcome.attempts, await tried.calls()) == ("success", 2, 1)


async def test_a_node_that_loses_every_worker_is_given_up(
    runtime: Runtime, tenant: TenantId, effects: EffectServer
) -> None:
    tried = await start(runtime, tenant, effects, "PUT")
    await tried.record("running", attempts=1, lost=MAX_LOST_WORKERS - 1)
    assert (await failure_of(tried, 4))["code"] == EXECUTION_FAILED
    assert await tried.calls() == 0


async def test_tries_that_were_handed_back_are_no_lost_workers(
    runtime: Runtime, tenant: TenantId, effects: EffectServer
) -> None:
    tried = await start(runtime, tenant, effects, "PUT")
    await tried.record("running", attempts=1, lost=MAX_LOST_WORKERS - 1)
    outcome = await tried.run(9, handed_back=(8, False))
    assert (outcome.status, outcome.attempts, await tried.calls()) == ("success", 1, 1)


async def test_a_try_that_never_began_leaves_a_call_free_to_run(
    runtime: Runtime, tenant: TenantId, effects: EffectServer
) -> None:
    tried = await start(runtime, tenant, effects, "POST")
    await tried.record("running", attempts=1)  # committed late, after the try had given up waiting for it
    outcome = await tried.run(2, handed_back=(1, True))
    assert (outcome.status, outcome.attempts, await tried.calls()) == ("success", 1, 1)


@pytest.mark.parametrize("last_words", [(2, False), (1, True), ()])
async def test_a_loss_is_not_forgotten_over_a_try_that_was_handed_back(
    runtime: Runtime, tenant: TenantId, effects: EffectServer, last_words: tuple[Any, ...]
) -> None:
    tried = await start(runtime, tenant, effects, "POST")
    await tried.record("running", attempts=1)
    assert (await failure_of(tried, 3, handed_back=last_words))["code"] == OUTCOME_UNKNOWN
    assert await tried.calls() == 0


async def test_a_try_that_meets_no_database_hands_back_and_says_whether_anything_was_cut_off(
    runtime: Runtime, tenant: TenantId, effects: EffectServer
) -> None:
    tried = await start(runtime, tenant, effects, "POST")
    await runtime.execution(tried.meta)  # the version is in memory
    away = Recorder(runtime.database)
    await away.close()  # a closed recorder answers as one does whose database is away
    tried.runtime = replace(runtime, recorder=away)
    for number, handed_back, said in [(1, (), (1, True)), (2, (), (2, False)), (2, (1, True), (2, True))]:
        with pytest.raises(ApplicationError) as caught:
            await tried.run(number, handed_back=handed_back)
        assert caught.value.type == "SYSTEM_FAULT"
        assert not caught.value.non_retryable
        assert tried.last_heartbeat == said
    assert await tried.calls() == 0
