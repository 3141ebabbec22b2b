from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from api.resources import Resources
from models.repositories.api_keys import ApiKeys
from models.repositories.memberships import Memberships
from models.tenancy import TenantId
from tests.api.conftest import caller, document
from tests.api.members import Somebody, make_member

pytestmark = pytest.mark.asyncio(loop_scope="session")


@dataclass(frozen=True, slots=True)
class Two:
    """Two members of a tenant, each with a client; the first has made a workflow."""

    owner: Somebody
    other: Somebody
    mine: httpx2.AsyncClient
    theirs: httpx2.AsyncClient
    url: str

    async def give(self, role: str, member: str | None = None) -> httpx2.Response:
        return await self.mine.put(f"{self.url}/grants/{member or self.other.id}", json={"role": role})


@pytest_asyncio.fixture(loop_scope="session")
async def two(app: FastAPI, resources: Resources, tenant: TenantId) -> AsyncIterator[Two]:
    owner, other = await make_member(resources, tenant), await make_member(resources, tenant)
    async with caller(app, owner.secret) as mine, caller(app, other.secret) as theirs:
        made = (await mine.post("/workflows", json={"document": document()})).json()
        yield Two(owner, other, mine, theirs, f"/workflows/{made['id']}")


async def _ids(client: httpx2.AsyncClient, path: str, **params: str) -> list[str]:
    return [item["id"] for item in (await client.get(path, params={"limit": "500", **params})).json()["items"]]


async def test_the_maker_of_a_workflow_owns_it_and_nobody_else_sees_it(two: Two) -> None:
    granted = (await two.mine.get(f"{two.url}/grants")).json()["items"]

    assert [(one["member"], one["email"], one["role"]) for one in granted] == [
        (str(two.owner.id), two.owner.email, "owner")
    ]
    hidden = await two.theirs.get(two.url)
    assert (hidden.status_code, hidden.json()["code"]) == (404, "NOT_FOUND")
    assert two.url.split("/")[-1] not in await _ids(two.theirs, "/workflows")


async def test_a_grant_shows_the_workflow_and_its_executions_and_taking_it_back_hides_them(two: Two) -> None:
    workflow_id = two.url.split("/")[-1]
    started = (await two.mine.post(f"{two.url}/execute")).json()["id"]
    assert (await two.give("viewer")).status_code == 200
    seen = [await _ids(two.theirs, "/workflows"), await _ids(two.theirs, "/executions", workflow_id=workflow_id)]
    assert (await two.mine.delete(f"{two.url}/grants/{two.other.id}")).status_code == 204

    assert workflow_id in seen[0]
    assert seen[1] == [started]
    assert workflow_id not in await _ids(two.theirs, "/workflows")
    assert await _ids(two.theirs, "/executions", workflow_id=workflow_id) == []
    assert (await two.theirs.get(f"/executions/{started}")).status_code == 404


async def test_pages_of_a_list_are_filled_with_what_the_caller_may_see(two: Two, api: httpx2.AsyncClient) -> None:
    """Were pages filtered after they are read, those in between would make them shorter."""
    for _ in range(3):
        await two.mine.post("/workflows", json={"document": document()})
        made = (await two.theirs.post("/workflows", json={"document": document()})).json()
        assert made["owner"] == str(two.other.id)
    seen: list[int] = []
    cursor = ""
    while True:
        page: dict[str, Any] = (await two.theirs.get(f"/workflows?limit=2&owner={two.other.id}{cursor}")).json()
        seen.append(len(page["items"]))
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"

    assert seen == [2, 1]


async def test_all_members_can_be_given_a_role_but_not_made_owners(two: Two) -> None:
    refused = await two.give("owner", "all")
    given = await two.give("executor", "all")

    assert refused.status_code == 422
    assert (given.status_code, given.json()["member"], given.json()["email"]) == (200, "all", None)
    assert (await two.theirs.post(f"{two.url}/execute")).status_code == 202
    assert (await two.theirs.put(two.url, json={"document": document()})).status_code == 403


async def test_the_greater_of_two_roles_counts(two: Two) -> None:
    await two.give("editor")
    await two.give("viewer", "all")

    assert (await two.theirs.post(f"{two.url}/execute")).status_code == 202


async def test_the_last_owner_can_neither_leave_nor_step_down(two: Two) -> None:
    left = await two.mine.delete(f"{two.url}/grants/{two.owner.id}")
    stepped_down = await two.give("editor", str(two.owner.id))

    assert (left.status_code, left.json()["code"]) == (409, "LAST_OWNER")
    assert (stepped_down.status_code, stepped_down.json()["code"]) == (409, "LAST_OWNER")


async def test_with_a_second_owner_the_first_can_leave(two: Two) -> None:
    await two.give("owner")
    assert (await two.theirs.delete(f"{two.url}/grants/{two.owner.id}")).status_code == 204

    assert (await two.mine.get(two.url)).status_code == 404
    assert (await two.theirs.get(two.url)).json()["owner"] == str(two.other.id)


async def test_transfer_makes_another_the_one_owner_and_keeps_the_former_as_editor(two: Two) -> None:
    moved = await two.mine.post(f"{two.url}/grants/transfer", json={"user_id": str(two.other.id)})

    assert {one["member"]: one["role"] for one in moved.json()["items"]} == {
        str(two.owner.id): "editor",
        str(two.other.id): "owner",
    }
    assert (await two.mine.get(two.url)).json()["owner"] == str(two.other.id)
    assert (await two.mine.post(f"{two.url}/grants/transfer", json={"user_id": str(two.owner.id)})).status_code == 403


async def test_only_members_of_the_tenant_can_be_given_a_role(two: Two) -> None:
    assert (await two.give("viewer", str(uuid4()))).status_code == 404
    transfer = await two.mine.post(f"{two.url}/grants/transfer", json={"user_id": str(uuid4())})
    assert transfer.status_code == 404
    assert (await two.give("viewer", "nobody")).status_code == 422


async def test_an_editor_can_make_nobody_an_owner_and_not_herself(two: Two) -> None:
    await two.give("editor")
    for member in (two.other.id, two.owner.id, "all"):
        answer = await two.theirs.put(f"{two.url}/grants/{member}", json={"role": "owner"})
        assert (answer.status_code, answer.json()["details"]) == (403, {"role": "editor", "needed": "owner"})
    taken = await two.theirs.post(f"{two.url}/grants/transfer", json={"user_id": str(two.other.id)})

    assert taken.status_code == 403


async def test_an_executor_cannot_read_who_else_has_a_role(two: Two) -> None:
    await two.give("executor")

    assert (await two.theirs.get(f"{two.url}/grants")).status_code == 403


async def test_no_other_member_of_a_body_is_taken(two: Two) -> None:
    """Mass assignment."""
    extra = {"role": "viewer", "member_id": str(two.other.id), "tenant_id": str(uuid4())}
    granted = await two.mine.put(f"{two.url}/grants/{two.other.id}", json=extra)
    made = await two.mine.post("/workflows", json={"document": document(), "owner": str(two.other.id)})

    assert [issue["path"] for issue in granted.json()["issues"]] == ["body.member_id", "body.tenant_id"]
    assert (granted.status_code, made.status_code) == (422, 422)


async def test_a_workflow_that_no_person_made_is_open_to_all_members_as_editors(
    two: Two, api: httpx2.AsyncClient
) -> None:
    made = (await api.post("/workflows", json={"document": document()})).json()
    granted = (await api.get(f"/workflows/{made['id']}/grants")).json()["items"]

    assert [(one["member"], one["role"]) for one in granted] == [("all", "editor")]
    assert (await two.theirs.get(f"/workflows/{made['id']}")).status_code == 200


async def test_saving_under_the_name_of_a_hidden_workflow_does_not_touch_it(two: Two) -> None:
    name = (await two.mine.get(two.url)).json()["name"]
    saved = await two.theirs.post("/workflows?if_exists=save", json={"document": document(name, description="x")})
    started = await two.theirs.post("/executions", json={"document": document(name, description="x")})

    assert saved.status_code in (403, 404, 409)
    assert started.status_code in (403, 404, 409)
    assert (await two.mine.get(two.url)).json()["latest_version"] == 1


async def test_who_leaves_the_tenant_and_comes_back_finds_no_roles_of_before(
    two: Two, resources: Resources, tenant: TenantId
) -> None:
    await two.give("editor")
    members = Memberships(resources.database)
    await members.remove(tenant, two.other.id)
    await members.ensure(tenant, two.other.id, "member")

    granted = (await two.mine.get(f"{two.url}/grants")).json()["items"]
    assert [one["member"] for one in granted] == [str(two.owner.id)]


async def test_a_key_never_does_more_than_its_person(
    two: Two, app: FastAPI, resources: Resources, tenant: TenantId
) -> None:
    await two.give("viewer")
    _, secret = await ApiKeys(resources.database).create(tenant, "all", scopes=("*",), user_id=two.other.id)
    async with caller(app, secret) as key:
        assert (await key.get(two.url)).status_code == 200
        assert (await key.post(f"{two.url}/execute")).status_code == 403
        assert (await key.get("/audit")).status_code == 403
