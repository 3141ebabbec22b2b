from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio

from engine.errors import Conflict, NotFound, SystemFault, Unauthenticated, ValidationFailed
from engine.settings import Settings
from structforge.client import AsyncClient, Client
from structforge.devstack.application import child_environment
from tests.api.conftest import KEY, document, settings, worker
from tests.models.server import free_port

__all__ = ["settings", "worker"]
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def url(settings: Settings, worker: None) -> AsyncIterator[str]:
    """A real API process; told to stop, it ends by itself."""
    served = settings.override({"api": {"port": free_port()}})
    command = [sys.executable, "-m", "structforge", "api"]
    process = await asyncio.create_subprocess_exec(*command, env=child_environment(served))
    try:
        await _until_ready(served.api.url)
        yield served.api.url
    finally:
        os.kill(process.pid, signal.SIGTERM)
        async with asyncio.timeout(30):
            await process.wait()


async def _until_ready(base: str) -> None:
    async with asyncio.timeout(60), httpx2.AsyncClient(trust_env=False) as http:
        while True:
            try:
                if (await http.get(f"{base}/readyz")).status_code == 200:
                    return
            except httpx2.HTTPError:
                await asyncio.sleep(0.05)


async def test_a_workflow_is_made_run_and_read_back(url: str) -> None:
    async with AsyncClient(url, KEY) as client:
        given = document()
        assert (await client.validate_workflow(given)).valid
        workflow = await client.create_workflow(given)
        execution = await client.execute(workflow.id, {"n": 5}, wait_s=20, idempotency_key="client")
        again = await client.execute(workflow.id, {"n": 5}, idempotency_key="client")
        nodes = await client.list_nodes(execution.id)

        assert (execution.status, execution.output) == ("success", {"double": {"twice": 10}})
        assert again.id == execution.id
        assert [node.path for node in nodes.items] == ["double", "start"]
        assert (await client.get_execution(execution.id)).id == execution.id
        assert (await client.list_executions(workflow_id=workflow.id)).items[0].id == execution.id
        rerun = await client.rerun_execution(execution.id, from_node="double")
        assert rerun.rerun_of == execution.id


async def test_workflows_are_listed_changed_applied_and_archived(url: str) -> None:
    async with AsyncClient(url, KEY) as client:
        workflow = await client.apply_workflow("name: applied\nnodes: [{id: start, type: manual}]")
        second = await client.apply_workflow({**workflow.document, "description": "2"})
        with pytest.raises(Conflict, match="saved meanwhile"):
            await client.update_workflow(workflow.id, {**workflow.document, "description": "3"}, if_match='"1"')
        listed = await client.list_workflows(search="applied")
        await client.archive_workflow(workflow.id)

        assert (second.id, second.version) == (workflow.id, 2)
        assert [item.id for item in listed.items] == [workflow.id]
        assert (await client.get_workflow(workflow.id)).status == "archived"


async def test_a_live_execution_is_paused_resumed_skipped_and_cancelled(url: str) -> None:
    nodes = [{"id": "one", "type": "delay", "params": {"delay": "1h"}}]
    nodes += [{"id": "two", "type": "delay", "params": {"delay": "1h"}}]
    async with AsyncClient(url, KEY) as client:
        started = await client.run(document(nodes=nodes, edges=[]))
        assert (await client.pause_execution(started.id)).status == "paused"
        assert (await client.resume_execution(started.id)).status == "running"
        await client.skip_node(started.id, "one", output="given")
        with pytest.raises(Conflict):
            await client.retry_node(started.id, "two")
        await client.cancel_execution(started.id)


async def test_the_synchronous_client_speaks_the_same(url: str) -> None:
    def talk() -> tuple[str, object, list[str]]:
        with Client(url, KEY) as client:
            assert client.get_readiness().ready
            execution = client.run(document(), {"n": 2}, wait_s=20)
            return client.get_me().key_name, execution.output, [item.type for item in client.list_node_types()]

    name, output, types = await asyncio.to_thread(talk)

    assert (name, output) == ("first key", {"double": {"twice": 4}})
    assert "http" in types


async def test_errors_are_those_of_the_engine(url: str) -> None:
    async with AsyncClient(url, KEY) as client:
        with pytest.raises(NotFound):
            await client.get_execution("00000000-0000-7000-8000-000000000099")
        with pytest.raises(ValidationFailed) as failed:
            await client.create_workflow("name: x\nnodes: [{id: a, type: odd}]")
        assert failed.value.issues[0].path == "nodes[0].type"
    async with AsyncClient(url, "sf_unknown") as nobody:
        with pytest.raises(Unauthenticated):
            await nobody.get_me()
    async with AsyncClient(f"http://127.0.0.1:{free_port()}", KEY) as lost:
        with pytest.raises(SystemFault, match="did not answer"):
            await lost.get_me()


async def test_both_clients_watch_an_execution_to_its_end(url: str) -> None:
    async with AsyncClient(url, KEY) as client:
        started = await client.execute((await client.create_workflow(document())).id)
        told = [event async for event in client.watch_execution(started.id)]
        rest = [event async for event in client.watch_execution(started.id, last_id=told[-2].id)]
        with pytest.raises(NotFound):
            await anext(aiter(client.watch_execution(started.workflow_id)))

    def watch() -> list[str]:
        with Client(url, KEY) as waiting:
            return [event.event for event in waiting.watch_execution(started.id)]

    assert [event.data["path"] for event in told if event.event == "node.finished"].count("double") == 1
    assert [event.event for event in rest] == ["execution.finished"] == [told[-1].event]
    assert (await asyncio.to_thread(watch))[-1] == "execution.finished"
