from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from api.resources import Resources
from models.tenancy import TenantId
from tests.api.conftest import caller, document
from tests.api.members import make_member

pytestmark = pytest.mark.asyncio(loop_scope="session")


@dataclass(frozen=True, slots=True)
class Shared:
    """A workflow, its owner's client, and one without a key."""

    mine: httpx2.AsyncClient
    visitor: httpx2.AsyncClient
    url: str

    async def link(self, role: str, **more: Any) -> dict[str, Any]:
        body = {"role": role, "expires_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat(), **more}
        answer = await self.mine.post(f"{self.url}/shares", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def visit(self, token: str, path: str, method: str = "GET") -> httpx2.Response:
        return await self.visitor.request(method, path, headers={"X-Share-Token": token})


@pytest_asyncio.fixture(loop_scope="session")
async def shared(app: FastAPI, resources: Resources, tenant: TenantId) -> AsyncIterator[Shared]:
    owner = await make_member(resources, tenant)
    async with caller(app, owner.secret) as mine, caller(app, None) as visitor:
        made = (await mine.post("/workflows", json={"document": document()})).json()
        yield Shared(mine, visitor, f"/workflows/{made['id']}")


async def test_a_viewer_link_shows_the_workflow_and_its_executions_and_runs_nothing(shared: Shared) -> None:
    token = (await shared.link("viewer"))["token"]
    started = (await shared.mine.post(f"{shared.url}/execute")).json()["id"]

    assert (await shared.visit(token, shared.url)).status_code == 200
    assert (await shared.visit(token, f"/executions/{started}")).status_code == 200
    assert [one["id"] for one in (await shared.visit(token, "/executions")).json()["items"]] == [started]
    assert [one["id"] for one in (await shared.visit(token, "/workflows")).json()["items"]] == [
        shared.url.split("/")[-1]
    ]
    assert (await shared.visit(token, f"{shared.url}/execute", "POST")).status_code == 403


async def test_an_executor_link_runs_and_the_execution_says_by_which_link(shared: Shared) -> None:
    link = await shared.link("executor")
    started = await shared.visit(link["token"], f"{shared.url}/execute", "POST")

    assert started.status_code == 202
    assert started.json()["started_by"] == f"share:{link['id']}"
    assert (await shared.visit(link["token"], shared.url, "DELETE")).status_code == 403


async def test_a_link_leads_to_nothing_but_its_workflow(shared: Shared) -> None:
    token = (await shared.link("executor"))["token"]
    other = (await shared.mine.post("/workflows", json={"document": document()})).json()["id"]
    elsewhere = (await shared.mine.post(f"/workflows/{other}/execute")).json()["id"]

    for path in (f"/workflows/{other}", f"/executions/{elsewhere}", f"/executions/{elsewhere}/nodes"):
        assert (await shared.visit(token, path)).status_code == 404, path
    for path in ("/me", "/node-types", "/audit", "/usage", f"{shared.url}/grants", f"{shared.url}/shares"):
        assert (await shared.visit(token, path)).status_code == 403, path


async def test_the_token_may_stand_in_the_query_of_reads_alone(shared: Shared) -> None:
    token = (await shared.link("executor"))["token"]

    assert (await shared.visitor.get(f"{shared.url}?share={token}")).status_code == 200
    assert (await shared.visitor.post(f"{shared.url}/execute?share={token}")).status_code == 401


async def test_a_revoked_link_lets_nobody_in_from_the_next_request_on(shared: Shared) -> None:
    link = await shared.link("viewer")
    before = await shared.visit(link["token"], shared.url)
    revoked = await shared.mine.delete(f"{shared.url}/shares/{link['id']}")
    after = await shared.visit(link["token"], shared.url)
    listed = (await shared.mine.get(f"{shared.url}/shares")).json()["items"][0]

    assert (before.status_code, revoked.status_code, after.status_code) == (200, 204, 401)
    assert listed["revoked_at"] is not None
    assert listed["uses"] == 1


async def test_the_token_is_shown_once_and_only_its_hash_is_stored(
    shared: Shared, resources: Resources, tenant: TenantId
) -> None:
    token = (await shared.link("viewer"))["token"]
    async with resources.database.transaction(tenant) as transaction:
        stored = await transaction.fetch("SELECT s::text AS row FROM share_link s")

    assert all(token not in record["row"] for record in stored)
    assert "token" not in (await shared.mine.get(f"{shared.url}/shares")).json()["items"][0]


@pytest.mark.parametrize("ahead", [timedelta(seconds=-1), timedelta(days=91)])
async def test_a_link_must_expire_and_within_the_longest_time(shared: Shared, ahead: timedelta) -> None:
    body = {"role": "viewer", "expires_at": (datetime.now(UTC) + ahead).isoformat()}
    answer = await shared.mine.post(f"{shared.url}/shares", json=body)
    without = await shared.mine.post(f"{shared.url}/shares", json={"role": "viewer"})

    assert (answer.status_code, answer.json()["issues"][0]["path"]) == (422, "body.expires_at")
    assert without.status_code == 422


@pytest.mark.parametrize("role", ["editor", "owner", "admin"])
async def test_no_link_gives_more_than_executor(shared: Shared, role: str) -> None:
    expires_at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    answer = await shared.mine.post(f"{shared.url}/shares", json={"role": role, "expires_at": expires_at})

    assert answer.status_code == 422


async def test_a_key_is_not_weakened_or_widened_by_a_token_beside_it(shared: Shared, api: httpx2.AsyncClient) -> None:
    token = (await shared.link("viewer"))["token"]

    assert (await api.get("/me", headers={"X-Share-Token": token})).status_code == 200
    bad = {"Authorization": "Bearer sf_unknown", "X-Share-Token": token}
    assert (await shared.visitor.get(shared.url, headers=bad)).status_code == 401
