from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from api.audit import MAX_FACTS_BYTES, bounded
from api.audit_trail import Refusals
from api.resources import Resources
from engine.settings import Settings
from models.repositories.audit import AuditLog
from models.tenancy import TenantId
from tests.api.conftest import caller, document
from tests.api.members import Somebody, make_member


@pytest_asyncio.fixture(loop_scope="session")
async def member(resources: Resources, tenant: TenantId) -> Somebody:
    return await make_member(resources, tenant)


@pytest_asyncio.fixture(loop_scope="session")
async def mine(app: FastAPI, member: Somebody) -> AsyncIterator[httpx2.AsyncClient]:
    async with caller(app, member.secret) as client:
        yield client


async def _entries(api: httpx2.AsyncClient, query: str) -> list[dict[str, Any]]:
    answer = await api.get(f"/audit?{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


@pytest.mark.asyncio(loop_scope="session")
async def test_a_change_is_entered_with_who_what_and_from_where(
    api: httpx2.AsyncClient, mine: httpx2.AsyncClient, member: Somebody
) -> None:
    made = (await mine.post("/workflows", json={"document": document()})).json()
    changed = await mine.put(
        f"/workflows/{made['id']}/grants/all", json={"role": "viewer"}, headers={"X-Request-ID": "trace-1.a"}
    )
    entry = (await _entries(api, f"action=grant.put&target_id={made['id']}"))[0]

    assert changed.headers["X-Request-ID"] == "trace-1.a"
    assert (entry["actor_kind"], entry["user_id"], entry["actor_name"]) == ("user", str(member.id), member.email)
    assert (entry["target_kind"], entry["outcome"], entry["request_id"]) == ("workflow", "done", "trace-1.a")
    assert entry["address"] == "127.0.0.1"
    assert entry["facts"] == {"member": "all", "role": "viewer", "before": None}


@pytest.mark.asyncio(loop_scope="session")
async def test_a_change_whose_endpoint_enters_nothing_is_entered_all_the_same(api: httpx2.AsyncClient) -> None:
    made = await api.post("/budgets", json={"period": "day", "tokens": 5})
    budget_id = made.json()["id"]
    await api.delete(f"/budgets/{budget_id}")
    entries = await _entries(api, f"target_id={budget_id}")

    assert [(entry["action"], entry["target_kind"]) for entry in entries] == [
        ("budget.delete", "budget"),
        ("budget.create", "budget"),
    ]
    assert entries[0]["actor_kind"] == "key"


@pytest.mark.asyncio(loop_scope="session")
async def test_every_change_of_a_workflow_leaves_exactly_one_entry(
    api: httpx2.AsyncClient, mine: httpx2.AsyncClient
) -> None:
    made = (await mine.post("/workflows", json={"document": document()})).json()
    await mine.put(f"/workflows/{made['id']}", json={"document": document()})
    await mine.get(f"/workflows/{made['id']}")
    await mine.post(f"/workflows/{made['id']}/execute")
    await mine.post("/workflows/validate", json={"document": document()})
    await mine.delete(f"/workflows/{made['id']}")

    entries = await _entries(api, f"target_id={made['id']}")
    assert len({entry["request_id"] for entry in entries}) == 3, entries


@pytest.mark.asyncio(loop_scope="session")
async def test_refused_tries_are_entered_with_their_reason(
    api: httpx2.AsyncClient, mine: httpx2.AsyncClient, member: Somebody
) -> None:
    refused = await mine.get("/audit", headers={"X-Request-ID": f"r-{member.id}"})
    entry = (await _entries(api, f"outcome=refused&user_id={member.id}"))[0]

    assert refused.status_code == 403
    assert (entry["action"], entry["outcome"]) == ("audit.list", "refused")
    assert entry["reason"] == "only administrators of the tenant may do this"


@pytest.mark.asyncio(loop_scope="session")
async def test_tries_of_unknown_callers_are_shown_to_the_first_tenant_alone(
    settings: Settings, resources: Resources, api: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    from api.app import create_app

    request_id = uuid4().hex
    async with caller(create_app(settings, resources), "sf_nobody") as nobody:  # with a bound of its own
        assert (await nobody.get("/workflows", headers={"X-Request-ID": request_id})).status_code == 401
    found = await _entries(api, f"unknown_callers=true&request_id={request_id}")

    assert [(entry["actor_kind"], entry["action"]) for entry in found] == [("nobody", "workflow.list")]
    assert await _entries(api, f"request_id={request_id}") == []
    assert (await stranger.get("/audit?unknown_callers=true")).status_code == 403


@pytest.mark.asyncio(loop_scope="session")
async def test_another_tenant_sees_none_of_it(api: httpx2.AsyncClient, stranger: httpx2.AsyncClient) -> None:
    made = (await api.post("/workflows", json={"document": document()})).json()

    assert await _entries(api, f"target_id={made['id']}") != []
    assert await _entries(stranger, f"target_id={made['id']}") == []


@pytest.mark.asyncio(loop_scope="session")
async def test_entries_come_in_pages_and_by_kind_of_action(api: httpx2.AsyncClient, mine: httpx2.AsyncClient) -> None:
    made = (await mine.post("/workflows", json={"document": document()})).json()
    for role in ("viewer", "executor", "editor"):
        await mine.put(f"/workflows/{made['id']}/grants/all", json={"role": role})
    query = f"action=grant.*&target_id={made['id']}&limit=2"
    first = (await api.get(f"/audit?{query}")).json()
    second = (await api.get(f"/audit?{query}&cursor={first['next']}")).json()

    roles = [entry["facts"]["role"] for page in (first, second) for entry in page["items"]]
    assert (roles, second["next"]) == (["editor", "executor", "viewer"], None)


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize(
    "statement", ["UPDATE audit_entry SET action = ''", "DELETE FROM audit_entry", "TRUNCATE audit_entry"]
)
async def test_the_application_can_neither_change_nor_remove_an_entry(
    resources: Resources, tenant: TenantId, statement: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with resources.database.transaction(tenant) as transaction:
            await transaction.execute(statement)


@pytest.mark.asyncio(loop_scope="session")
async def test_retention_removes_what_is_older_and_never_what_is_younger_than_30_days(
    resources: Resources, tenant: TenantId
) -> None:
    async def add(days: int, outcome: str) -> None:
        async with resources.database.transaction(tenant) as transaction:
            await transaction.execute(
                """INSERT INTO audit_entry (tenant_id, id, at, actor_kind, action, outcome, reason)
                   VALUES ($1, $2, now() - make_interval(days => $3), 'nobody', 'test.retention', $4, $3::text)""",
                tenant.uuid, uuid4(), days, outcome,
            )  # fmt: skip

    for days, outcome in ((400, "done"), (50, "done"), (50, "refused"), (20, "done"), (20, "refused")):
        await add(days, outcome)
    log = AuditLog(resources.database)
    removed = await log.forget(timedelta(days=365), timedelta(days=1))
    async with resources.database.transaction(tenant) as transaction:
        left = await transaction.fetch(
            "SELECT reason, outcome FROM audit_entry WHERE action = 'test.retention' ORDER BY at, outcome"
        )

    assert removed == 2
    assert [tuple(row) for row in left] == [("50", "done"), ("20", "done"), ("20", "refused")]


def test_a_flood_of_refused_tries_writes_a_bounded_number_of_entries() -> None:
    refusals = Refusals(most=3)
    same = [refusals.take("caller", "workflow.read", "403") for _ in range(10)]
    others = [refusals.take(f"caller {n}", "workflow.read", "403") for n in range(10)]

    assert same == [0, *[None] * 9]
    assert others == [9, 0, *[None] * 8]
    assert refusals.left_out == 8


def test_facts_hide_what_is_named_like_a_secret_and_stay_small() -> None:
    assert bounded({"password": "x", "deep": [{"api_key": "y", "name": "n"}]}) == {
        "password": "**********",
        "deep": [{"api_key": "**********", "name": "n"}],
    }
    assert bounded({str(n): "x" * 200 for n in range(MAX_FACTS_BYTES // 200 + 1)}).keys() == {"left_out"}
