"""What waits for a person: by name, by role, by quorum, and never one's own request."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from fastapi import FastAPI

from api.resources import Resources
from models.ids import new_id
from models.tenancy import TenantId
from tests.api.conftest import caller
from tests.api.members import Somebody, make_member, make_target

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def opened(resources: Resources, tenant: TenantId, workflow_id: UUID, approvers: list[str], **more: Any) -> str:
    """An open approval of a workflow, as the interpreter writes it."""
    identifier = new_id()
    async with resources.database.transaction(tenant) as transaction:
        await transaction.execute(
            """INSERT INTO approval (tenant_id, id, execution_id, workflow_id, workflow_name, temporal_id, node_path,
                   iteration, generation, approvers, decisions, started_by, allow_self, quorum)
               VALUES ($1, $2, $3, $4, 'w', 'none', 'ask', '{}', 0, $5, $6, $7, $8, 2)""",
            tenant.uuid, identifier, uuid4(), workflow_id, approvers, more.get("decisions", []),
            more.get("started_by", ""), more.get("allow_self", False),
        )  # fmt: skip
    return str(identifier)


async def waiting(app: FastAPI, person: Somebody, wanted: list[str]) -> list[bool]:
    """Which of `wanted` wait for a person; the count must say the same."""
    async with caller(app, person.token) as client:
        items = (await client.get("/approvals?mine=true&limit=500")).json()["items"]
        count = (await client.get("/approvals/count")).json()["count"]
    found = {item["id"] for item in items}
    assert count == len(found)
    return [one in found for one in wanted]


async def test_each_person_is_shown_what_waits_for_her_word_alone(
    app: FastAPI, resources: Resources, tenant: TenantId
) -> None:
    owner, executor, viewer, member, admin = [await make_member(resources, tenant) for _ in range(4)] + [
        await make_member(resources, tenant, "admin")
    ]
    flow = (await make_target(resources, tenant, owner.id, {executor.id: "executor", viewer.id: "viewer"})).workflow_id
    said = {"by": viewer.email, "decision": "approved", "form": None, "comment": "", "at": 0.0}
    asked = [
        await opened(resources, tenant, flow, []),  # anybody who may run the workflow
        await opened(resources, tenant, flow, [f" {member.email.upper()} "]),
        await opened(resources, tenant, flow, ["role:viewer"]),
        await opened(resources, tenant, flow, ["role:Editor"]),
        await opened(resources, tenant, flow, ["role:admin"]),
        await opened(resources, tenant, flow, ["role:viewer"], decisions=[said]),  # the quorum is not reached
        await opened(resources, tenant, flow, ["role:viewer"], started_by=viewer.email),
        await opened(resources, tenant, flow, ["role:viewer"], started_by=viewer.email, allow_self=True),
    ]

    assert await waiting(app, owner, asked) == [True, False, True, True, False, True, True, True]
    assert await waiting(app, executor, asked) == [True, False, True, False, False, True, True, True]
    assert await waiting(app, viewer, asked) == [False, False, True, False, False, False, False, True]
    assert await waiting(app, member, asked) == [False, True, False, False, False, False, False, False]
    assert await waiting(app, admin, asked) == [True, False, True, True, True, True, True, True]


async def test_mine_goes_without_other_filters(api: httpx2.AsyncClient) -> None:
    answer = await api.get("/approvals?mine=true&status=open")
    assert (answer.status_code, answer.json()["issues"][0]["path"]) == (422, "query.mine")


async def test_pages_of_what_waits_follow_each_other(app: FastAPI, resources: Resources, tenant: TenantId) -> None:
    person = await make_member(resources, tenant)
    asked = [await opened(resources, tenant, uuid4(), [person.email]) for _ in range(3)]
    seen: list[str] = []
    async with caller(app, person.token) as client:
        page = (await client.get("/approvals?mine=true&limit=2")).json()
        while page["next"] is not None:
            seen += [item["id"] for item in page["items"]]
            page = (await client.get(f"/approvals?mine=true&limit=2&cursor={page['next']}")).json()
    seen += [item["id"] for item in page["items"]]
    assert seen == sorted(set(seen), reverse=True), "newest first, none twice"
    assert set(asked) <= set(seen)  # other tests may have left approvals that ask everybody


async def test_link_of_a_notification_says_how_to_decide_and_tells_nobody_what_it_is_about(
    app: FastAPI, resources: Resources, tenant: TenantId
) -> None:
    owner = await make_member(resources, tenant)
    target = await make_target(resources, tenant, owner.id, {})
    async with caller(app, None) as client:
        known = await client.get(f"http://api/approvals/{target.approval_id}")
        unknown = await client.get(f"http://api/approvals/{target.execution_id}")
        closed = await client.get(f"/approvals/{target.approval_id}")
        odd = await client.get("http://api/approvals/<script>")
    assert known.status_code == 200
    assert f"structforge approval approve {target.approval_id}" in known.text
    assert known.text.replace(str(target.approval_id), "") == unknown.text.replace(str(target.execution_id), "")
    assert "default-src 'none'" in known.headers["Content-Security-Policy"]
    assert closed.status_code == 401
    assert odd.status_code in (404, 422)
    assert "<script>" not in odd.text
