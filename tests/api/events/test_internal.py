"""Events of our own: what executions, nodes, workflows and approvals tell, and to whom."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from fastapi import FastAPI

from api.resources import Resources
from models.repositories.events import Events
from models.repositories.executions import Executions, NewExecution
from models.tables import Execution
from models.tenancy import mint_tenant
from tests.api.conftest import caller, document
from tests.api.events.conftest import Home, listener
from tests.api.members import make_member

pytestmark = pytest.mark.asyncio(loop_scope="session")


def failing(**more: Any) -> dict[str, Any]:
    nodes = [
        {"id": "start", "type": "manual"},
        {"id": "bad", "type": "transform", "params": {"mapping": {"x": "{{ input.missing.deeper }}"}}},
    ]
    return {
        "name": f"failing-{uuid4().hex[:12]}",
        "nodes": nodes,
        "edges": [{"source": "start", "target": "bad"}],
        **more,
    }


async def _run(home: Home, doc: dict[str, Any]) -> Execution:
    answer = await home.api.post("/executions", json={"document": doc, "input": {}})
    assert answer.status_code == 202, answer.text
    return await home.ended(UUID(answer.json()["id"]))


async def _heard(home: Home, workflow: str) -> list[dict[str, Any]]:
    """Inputs of a listener's executions, oldest first, once they have ended."""
    executions = [await home.ended(UUID(one["id"])) for one in await home.of(workflow)]
    return [(await home.api.get(f"/executions/{one.id}")).json()["input"] for one in executions]


async def test_end_of_an_execution_is_told_by_how_it_ended_and_at_all(home: Home) -> None:
    failed = await home.publish_workflow("structforge.execution.failed")
    succeeded = await home.publish_workflow("structforge.execution.succeeded")
    good, bad = await _run(home, document()), await _run(home, failing())
    await home.dispatcher.run_once()

    (told,) = await _heard(home, failed)
    assert (told["type"], told["source"]) == ("structforge.execution.failed", "structforge")
    assert told["data"]["execution_id"] == str(bad.id)
    assert told["data"]["error"]["code"] == "EXPRESSION_ERROR"
    assert [one["data"]["execution_id"] for one in await _heard(home, succeeded)][:1] == [str(good.id)]


async def test_own_event_that_nobody_waits_for_is_not_stored(home: Home, resources: Resources) -> None:
    await _run(home, document())
    await home.dispatcher.run_once()
    async with resources.database.transaction(home.tenant) as transaction:
        assert await transaction.fetchval("SELECT count(*) FROM event") == 0
        assert await transaction.fetchval("SELECT count(*) FROM outbox WHERE delivered_at IS NULL") == 0


async def test_failed_node_is_told_where_somebody_waits_for_it(home: Home, resources: Resources) -> None:
    await _run(home, failing())
    async with resources.database.transaction(home.tenant) as transaction:
        assert await transaction.fetchval("SELECT count(*) FROM outbox WHERE kind = 'node.failed'") == 0
    workflow = await home.publish_workflow("structforge.node.failed")
    execution = await _run(home, failing())
    await home.dispatcher.run_once()
    (told,) = await _heard(home, workflow)
    assert (told["data"]["node"], told["data"]["execution_id"]) == ("bad", str(execution.id))
    assert told["data"]["error"]["code"] == "EXPRESSION_ERROR"


async def test_published_version_is_told(home: Home) -> None:
    workflow = await home.publish_workflow("structforge.workflow.published")
    answer = await home.api.post("/workflows", json={"document": document()})
    await home.dispatcher.run_once()
    told = await _heard(home, workflow)
    assert [(one["data"]["workflow_id"], one["data"]["version"]) for one in told] == [(answer.json()["id"], 1)]


async def test_opened_approval_is_told(home: Home) -> None:
    workflow = await home.publish_workflow("structforge.approval.opened")
    nodes = [{"id": "ask", "type": "approval", "params": {"approvers": ["boss@example.com"], "message": "?"}}]
    doc = {"name": f"asks-{uuid4().hex[:8]}", "nodes": nodes, "edges": []}
    started = await home.api.post("/executions", json={"document": doc})
    assert started.status_code == 202, started.text
    async with asyncio.timeout(30):
        while not await home.of(workflow):
            await home.dispatcher.run_once()
    (told,) = await _heard(home, workflow)
    assert told["data"]["execution_id"] == started.json()["id"]
    assert (await home.api.post(f"/executions/{started.json()['id']}/cancel")).status_code < 300


async def test_loop_of_workflows_ends_at_the_depth_and_the_last_event_says_so(home: Home, resources: Resources) -> None:
    # Each hears of the other's ends, and never of its own.
    first = await home.publish_workflow("structforge.execution.finished")
    second = await home.publish_workflow("structforge.execution.finished")
    await _run(home, failing())
    limit = resources.settings.limits.event_depth
    seen: set[str] = set()
    for _ in range(2 * limit):
        await home.dispatcher.run_once()
        found = [*await home.of(first), *await home.of(second)]
        for one in found:
            await home.ended(UUID(one["id"]))
        if {one["id"] for one in found} == seen:
            break
        seen = {one["id"] for one in found}
    depths = [one["metadata"]["event_depth"] for one in [*await home.of(first), *await home.of(second)]]
    # Both hear the first event; from then on each execution is heard by the other alone.
    assert sorted(depths) == sorted([*range(1, limit + 1)] * 2)
    async with resources.database.transaction(home.tenant) as transaction:
        notes = await transaction.fetch("SELECT note, depth FROM event WHERE note IS NOT NULL")
    assert {note["depth"] for note in notes} == {limit}
    assert all("starts nothing" in note["note"] for note in notes)


async def test_depth_is_known_of_what_children_and_http_nodes_publish(home: Home, resources: Resources) -> None:
    await home.publish_workflow("order.created")
    first = await home.publish()
    await home.dispatcher.run_once()
    (execution,) = await home.started_by(first)
    headers = {"Idempotency-Key": f"{execution.id}:tell::0"}  # what an HTTP node sends
    answer = await home.api.post("/events", json={"type": "order.created", "source": "s"}, headers=headers)
    assert (await home.event(answer.json()["id"]))["depth"] == 1

    child = (await _child(resources, execution)).id
    assert await Events(resources.database).depth_of(home.tenant, child) == 1


async def _child(resources: Resources, parent: Execution) -> Execution:
    new = NewExecution(parent.workflow_id, parent.version_id, "child", parent_execution_id=parent.id)
    return (await Executions(resources.database).create_execution(mint_tenant(parent.tenant_id), new)).execution


async def test_workflow_hears_only_of_what_its_author_may_see(home: Home, app: FastAPI, resources: Resources) -> None:
    author = await make_member(resources, home.tenant)
    other = await make_member(resources, home.tenant)
    async with caller(app, author.secret) as hers, caller(app, other.secret) as his:
        made = await hers.post("/workflows", json={"document": listener("structforge.execution.failed")})
        assert made.status_code == 201, made.text
        workflow = made.json()["id"]
        hidden = await _fail_as(home, his)
        await home.dispatcher.run_once()
        assert await home.of(workflow) == []

        own = await _fail_as(home, hers)
        await home.dispatcher.run_once()
        (told,) = await _heard(home, workflow)
        assert told["data"]["execution_id"] == str(own.id)
        assert (await hers.get(f"/events/{told['id']}")).status_code == 200
        assert (await his.get(f"/events/{told['id']}")).status_code == 404

        grant = {"role": "viewer"}
        shown = await his.put(f"/workflows/{hidden.workflow_id}/grants/{author.id}", json=grant)
        assert shown.status_code in (200, 201), shown.text
        again = await home.ended(
            UUID((await his.post(f"/workflows/{hidden.workflow_id}/execute", json={})).json()["id"])
        )
        await home.dispatcher.run_once()
        heard = [one["data"]["execution_id"] for one in await _heard(home, workflow)]
        assert heard == [str(own.id), str(again.id)]


async def _fail_as(home: Home, api: httpx2.AsyncClient) -> Execution:
    answer = await api.post("/executions", json={"document": failing()})
    assert answer.status_code == 202, answer.text
    return await home.ended(UUID(answer.json()["id"]))
