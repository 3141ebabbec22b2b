"""Quotas through the HTTP API: exact over two processes' worth of it, and executions that wait for a slot."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from api.app import create_app, open_first_resources
from api.resources import Resources
from engine.settings import Settings
from models.repositories.api_keys import ApiKeys
from models.repositories.tenants import Tenants
from models.tenancy import TenantId, mint_tenant
from scheduler_sync import Relay, open_relay
from tests.api.conftest import caller, document
from worker import build_worker, open_runtime

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="session")
def own_settings(settings: Settings) -> Settings:
    """A task queue without a worker, until a test starts one."""
    return settings.override({"worker": {"task_queue": f"quotas-{uuid4().hex[:8]}"}})


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def own_app(own_settings: Settings) -> AsyncIterator[FastAPI]:
    async with open_first_resources(own_settings) as opened:
        yield create_app(own_settings, opened)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def other_app(own_settings: Settings) -> AsyncIterator[FastAPI]:
    """A second instance on the same database."""
    async with open_first_resources(own_settings) as opened:
        yield create_app(own_settings, opened)


@pytest_asyncio.fixture(loop_scope="session")
async def newcomer(resources: Resources) -> tuple[TenantId, str]:
    """A tenant without quotas, and its key."""
    made = mint_tenant(uuid4())
    await Tenants(resources.database).ensure(made, f"quotas-{made}")
    _, secret = await ApiKeys(resources.database).create(made, "quotas", scopes=("*",))
    return made, secret


@pytest_asyncio.fixture(loop_scope="session")
async def client(own_app: FastAPI, newcomer: tuple[TenantId, str]) -> AsyncIterator[httpx2.AsyncClient]:
    async with caller(own_app, newcomer[1]) as opened:
        yield opened


@contextlib.asynccontextmanager
async def relaying(settings: Settings) -> AsyncGenerator[Relay]:
    async with open_relay(settings) as relay:
        running = asyncio.create_task(relay.run_forever())
        try:
            yield relay
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def put(client: httpx2.AsyncClient, kind: str, limit: int, **more: Any) -> None:
    answer = await client.put("/quotas", json={"kind": kind, "limit": limit, **more})
    assert answer.status_code == 200, answer.text


async def workflow(client: httpx2.AsyncClient, **more: Any) -> str:
    answer = await client.post("/workflows", json={"document": document(**more)})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def test_a_quota_is_set_changed_listed_and_taken_away(client: httpx2.AsyncClient) -> None:
    await put(client, "executions", 5, period="hour", scope="workflow")
    await put(client, "executions", 7, period="hour", scope="workflow")
    listed = (await client.get("/quotas")).json()["items"]
    assert [(item["kind"], item["scope"], item["period"], item["limit"]) for item in listed] == [
        ("executions", "workflow", "hour", 7)
    ]
    asked = "/quotas?kind=executions&scope=workflow&period=hour"
    assert [(await client.delete(asked)).status_code for _ in range(2)] == [204, 404]


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "executions", "limit": 1},
        {"kind": "nodes", "limit": 1, "period": "day"},
        {"kind": "workflows", "limit": 1, "scope": "workflow"},
        {"kind": "nodes", "limit": 1, "person": "ann"},
        {"kind": "nodes", "limit": -1},
    ],
)
async def test_a_quota_that_makes_no_sense_is_refused(client: httpx2.AsyncClient, body: dict[str, Any]) -> None:
    assert (await client.put("/quotas", json=body)).status_code == 422


async def test_quotas_of_another_tenant_do_not_bind(client: httpx2.AsyncClient, stranger: httpx2.AsyncClient) -> None:
    await put(client, "workflows", 0)
    refused = await client.post("/workflows", json={"document": document()})
    assert (refused.status_code, refused.json()["code"]) == (429, "QUOTA_EXCEEDED")
    assert refused.json()["details"]["quota"] == "workflows"
    assert (await stranger.get("/quotas")).json()["items"] == []
    assert (await stranger.post("/workflows", json={"document": document()})).status_code == 201


async def test_of_a_hundred_starts_at_once_over_two_instances_exactly_37_are_accepted(
    client: httpx2.AsyncClient, other_app: FastAPI, newcomer: tuple[TenantId, str]
) -> None:
    workflow_id = await workflow(client)
    await put(client, "executions", 37, period="month", scope="workflow")
    async with caller(other_app, newcomer[1]) as other:
        answers = await asyncio.gather(
            *((client, other)[n % 2].post(f"/workflows/{workflow_id}/execute", json={}) for n in range(100))
        )
    refused = [answer for answer in answers if answer.status_code == 429]
    assert sorted({answer.status_code for answer in answers}) == [202, 429]
    assert len(answers) - len(refused) == 37
    details = refused[0].json()["details"]
    assert (details["limit"], details["used"], details["period"]) == (37, 37, "month")
    left = (datetime.fromisoformat(details["frees_at"]) - datetime.now(UTC)).total_seconds()
    assert abs(int(refused[0].headers["retry-after"]) - left) < 30
    usage = (await client.get("/quotas/usage")).json()["items"]
    assert [(item["workflow_id"], item["limit"], item["used"]) for item in usage] == [(workflow_id, 37, 37)]
    assert usage[0]["frees_at"] is not None


async def test_a_hundred_executions_pass_five_slots_in_order_and_a_worker_that_comes_late_loses_none(
    client: httpx2.AsyncClient, own_settings: Settings, resources: Resources, newcomer: tuple[TenantId, str]
) -> None:
    tenant = newcomer[0]
    workflow_id = await workflow(client, settings={"max_concurrent_executions": 5})
    url = f"/workflows/{workflow_id}/execute"
    levels = [3, 1, 5, 2] * 25
    ids = [(await client.post(url, json={"input": {"n": 1}, "priority": level})).json()["id"] for level in levels]

    async with resources.database.transaction(tenant) as transaction:
        waiting = [row[0] for row in await transaction.fetch("SELECT execution_id FROM waiting_execution")]
    assert len(waiting) == 95
    shown = (await client.get(f"/executions/{waiting[0]}")).json()
    assert (shown["status"], shown["reason"], shown["started_at"]) == ("pending", "queued", None)
    assert (await client.post(f"/executions/{waiting[0]}/pause")).json()["code"] == "EXECUTION_QUEUED"

    most = 0
    async with relaying(own_settings), open_runtime(own_settings) as runtime, build_worker(own_settings, runtime):
        async with asyncio.timeout(40):
            while True:
                async with resources.database.transaction(tenant) as transaction:
                    open_now, left = await transaction.fetchrow(
                        "SELECT count(*) FILTER (WHERE reason IS NULL), count(*) FROM execution"
                        " WHERE finished_at IS NULL"
                    )  # type: ignore[misc]
                most = max(most, open_now)
                if not left:
                    break
    async with resources.database.transaction(tenant) as transaction:
        rows = await transaction.fetch(
            "SELECT id, status, priority, released_at, finished_at, created_at FROM execution"
        )
        held = await transaction.fetchval("SELECT value FROM quota_counter WHERE scope = 'concurrent_executions'")
    assert {row["status"] for row in rows} == {"success"}
    assert most <= 5
    assert held == 0
    place = {UUID(name): number for number, name in enumerate(ids)}
    released = sorted((row for row in rows if row["released_at"]), key=lambda row: row["released_at"])
    order = [(row["priority"], place[row["id"]]) for row in released]
    assert len(order) == 95
    assert order == sorted(order)
    # A slot is held from when it was given until the end; at no moment were there more than five.
    begun = [(row["released_at"] or row["created_at"], 1) for row in rows]
    ended = [(row["finished_at"], -1) for row in rows]
    assert max(accumulate(step for _, step in sorted(begun + ended))) == 5


async def test_a_synchronous_start_waits_for_its_slot_and_a_queued_execution_is_cancelled_at_once(
    client: httpx2.AsyncClient, own_settings: Settings
) -> None:
    nodes = [{"id": "pause", "type": "delay", "params": {"delay": "1s"}}]
    workflow_id = await workflow(client, nodes=nodes, edges=[], settings={"max_concurrent_executions": 1})
    url = f"/workflows/{workflow_id}/execute"
    async with relaying(own_settings), open_runtime(own_settings) as runtime, build_worker(own_settings, runtime):
        await client.post(url, json={})
        sync = asyncio.create_task(client.post(f"{url}?mode=sync&wait_s=20", json={}))
        queued = await client.post(url, json={"priority": 5})
        waited = asyncio.create_task(client.post(f"{url}?mode=sync&wait_s=20", json={"priority": 5}))
        assert queued.json()["reason"] == "queued"

        cancelled = await client.post(f"/executions/{queued.json()['id']}/cancel")
        shown = (await client.get(f"/executions/{queued.json()['id']}")).json()
        again = await client.post(f"/executions/{queued.json()['id']}/cancel")
        ended = await sync
        assert (await waited).status_code == 200

    assert cancelled.status_code == 202, cancelled.text
    assert (shown["status"], shown["reason"]) == ("cancelled", None)
    assert again.json()["code"] == "EXECUTION_CLOSED"
    assert (ended.status_code, ended.json()["status"]) == (200, "success")


async def test_a_child_waits_for_a_slot_of_its_own_workflow(client: httpx2.AsyncClient, own_settings: Settings) -> None:
    await put(client, "concurrent_executions", 2, scope="tenant")
    inner = document(
        nodes=[{"id": "pause", "type": "delay", "params": {"delay": "300ms"}}],
        edges=[],
        inputs={},
        settings={"max_concurrent_executions": 1},
    )
    await client.post("/workflows", json={"document": inner})
    calls = [{"id": f"call{n}", "type": "workflow", "params": {"workflow": inner["name"]}} for n in range(3)]
    outer = await workflow(client, nodes=calls, edges=[], inputs={})
    async with relaying(own_settings), open_runtime(own_settings) as runtime, build_worker(own_settings, runtime):
        ended = await client.post(f"/workflows/{outer}/execute?mode=sync&wait_s=30", json={})
        inner_runs = (await client.get("/executions?limit=50")).json()["items"]

    assert ended.json()["status"] == "success", ended.text
    children = sorted(
        (run for run in inner_runs if run["workflow_name"] == inner["name"]), key=lambda run: run["started_at"]
    )
    assert len(children) == 3
    assert all(before["finished_at"] <= after["started_at"] for before, after in pairwise(children))


async def test_a_timeout_quota_ends_an_execution_whose_document_allows_more(
    client: httpx2.AsyncClient, own_settings: Settings
) -> None:
    await put(client, "execution_timeout_s", 1)
    nodes = [{"id": "pause", "type": "delay", "params": {"delay": "30s"}}]
    workflow_id = await workflow(client, nodes=nodes, edges=[], settings={"timeout": "1h"})
    async with open_runtime(own_settings) as runtime, build_worker(own_settings, runtime):
        ended = await client.post(f"/workflows/{workflow_id}/execute?mode=sync&wait_s=20", json={})
    assert ended.json()["status"] == "timed_out"
