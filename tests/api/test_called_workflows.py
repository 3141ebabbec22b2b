"""A workflow that calls another: whoever saves, publishes or starts it must be allowed to start that one too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from api.called_workflows import called_names
from api.resources import Resources
from models.tenancy import TenantId
from tests.api.conftest import caller, document
from tests.api.members import Somebody, make_member

pytestmark = pytest.mark.asyncio(loop_scope="session")


def calling(name: str, **more: Any) -> dict[str, object]:
    node = {"id": "call", "type": "workflow", "params": {"workflow": name, "input": {"n": 4}}}
    return document(
        nodes=[{"id": "start", "type": "manual"}, node], edges=[{"source": "start", "target": "call"}], **more
    )


@pytest_asyncio.fixture(loop_scope="session")
async def owner(app: FastAPI, resources: Resources, tenant: TenantId) -> AsyncIterator[httpx2.AsyncClient]:
    person = await make_member(resources, tenant)
    async with caller(app, person.token) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def other(resources: Resources, tenant: TenantId) -> Somebody:
    return await make_member(resources, tenant)


@pytest_asyncio.fixture(loop_scope="session")
async def others(app: FastAPI, other: Somebody) -> AsyncIterator[httpx2.AsyncClient]:
    async with caller(app, other.token) as client:
        yield client


async def made(client: httpx2.AsyncClient, given: dict[str, object]) -> dict[str, Any]:
    answer = await client.post("/workflows", json={"document": given})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def grant(client: httpx2.AsyncClient, workflow_id: str, member: object, role: str) -> None:
    answer = await client.put(f"/workflows/{workflow_id}/grants/{member}", json={"role": role})
    assert answer.status_code in (200, 201), answer.text


def refused(answer: httpx2.Response) -> list[str]:
    assert (answer.status_code, answer.json()["code"]) == (403, "WORKFLOW_DENIED"), answer.text
    return answer.json()["details"]["workflows"]


@pytest.mark.parametrize("role", [None, "viewer"])
async def test_who_may_not_start_it_cannot_save_a_call_of_it(
    owner: httpx2.AsyncClient, others: httpx2.AsyncClient, other: Somebody, role: str | None
) -> None:
    called = await made(owner, document())
    if role is not None:
        await grant(owner, called["id"], other.id, role)
    mine = await made(others, document())

    by_name = await others.post("/workflows", json={"document": calling(called["name"])})
    by_id = await others.put(f"/workflows/{mine['id']}", json={"document": calling(called["id"])})
    tried = await others.post("/executions", json={"document": calling(called["name"])})

    assert [refused(answer) for answer in (by_name, by_id, tried)] == [
        [called["name"]],
        [called["id"]],
        [called["name"]],
    ]


async def test_an_executor_may(owner: httpx2.AsyncClient, others: httpx2.AsyncClient, other: Somebody) -> None:
    called = await made(owner, document())
    await grant(owner, called["id"], other.id, "executor")

    assert (await others.post("/workflows", json={"document": calling(called["name"])})).status_code == 201


async def test_who_may_not_start_what_is_called_cannot_start_publish_or_rerun_the_caller(
    owner: httpx2.AsyncClient, others: httpx2.AsyncClient, other: Somebody, worker: None
) -> None:
    called = await made(owner, document())
    outer = await made(owner, calling(called["name"]))
    ended = await owner.post(f"/workflows/{outer['id']}/execute", params={"mode": "sync"})
    assert ended.json()["status"] == "success", ended.text
    await grant(owner, outer["id"], other.id, "editor")

    started = await others.post(f"/workflows/{outer['id']}/execute")
    published = await others.post(f"/workflows/{outer['id']}/versions/1/publish")
    rerun = await others.post(f"/executions/{ended.json()['id']}/rerun")
    asked = {"action": "rerun", "dry_run": False, "filter": {"workflow_id": outer["id"]}}
    bulk = (await others.post("/executions/bulk", json=asked)).json()["results"]

    assert [refused(answer) for answer in (started, published, rerun)] == [[called["name"]]] * 3
    assert [(result["done"], result["code"]) for result in bulk] == [(False, "WORKFLOW_DENIED")]


async def test_a_call_that_was_vouched_for_goes_on_when_the_role_is_taken_back(
    owner: httpx2.AsyncClient, others: httpx2.AsyncClient, other: Somebody, api: httpx2.AsyncClient, worker: None
) -> None:
    called = await made(owner, document())
    await grant(owner, called["id"], other.id, "executor")
    outer = await made(others, calling(called["name"]))
    await owner.delete(f"/workflows/{called['id']}/grants/{other.id}")

    by_machine = await api.post(f"/workflows/{outer['id']}/execute", params={"mode": "sync"})
    by_person = await others.post(f"/workflows/{outer['id']}/execute")

    assert by_machine.json()["status"] == "success", by_machine.text
    assert refused(by_person) == [called["name"]]


@pytest.mark.parametrize(("role", "status"), [(None, "failed"), ("viewer", "failed"), ("executor", "success")])
async def test_a_name_that_only_the_run_knows_is_held_to_the_authors_role(
    owner: httpx2.AsyncClient,
    others: httpx2.AsyncClient,
    other: Somebody,
    worker: None,
    role: str | None,
    status: str,
) -> None:
    called = await made(owner, document())
    if role is not None:
        await grant(owner, called["id"], other.id, role)
    whom = {"type": "object", "properties": {"whom": {"type": "string"}}}
    outer = await made(others, calling("{{ input.whom }}", inputs=whom))

    body = {"input": {"whom": called["name"]}}
    answer = await others.post(f"/workflows/{outer['id']}/execute", params={"mode": "sync"}, json=body)

    assert answer.json()["status"] == status, answer.text


async def test_a_workflow_that_is_made_later_under_the_name_is_not_laid_open(
    owner: httpx2.AsyncClient, others: httpx2.AsyncClient, api: httpx2.AsyncClient, worker: None
) -> None:
    name = f"later-{uuid4().hex[:12]}"
    outer = await made(others, calling(name))
    await made(owner, document(name))

    answer = await api.post(f"/workflows/{outer['id']}/execute", params={"mode": "sync"})

    assert answer.json()["status"] == "failed"


async def test_calls_are_found_at_any_depth_and_expressions_are_left_to_the_run() -> None:
    body = {"nodes": [{"id": "b", "type": "workflow", "params": {"workflow": "inner"}}]}
    spec = {
        "nodes": [
            {"id": "a", "type": "loop", "params": {"kind": "foreach", "body": body}},
            {"id": "c", "type": "workflow", "params": {"workflow": "{{ input.x }}"}},
        ],
        "handlers": {"nodes": [{"id": "h", "type": "workflow", "params": {"workflow": "outer"}}]},
    }

    assert called_names(spec) == ["inner", "outer"]
