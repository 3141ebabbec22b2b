from __future__ import annotations

import asyncio
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from api.resources import Resources
from engine.errors import Conflict
from models.repositories.memberships import Memberships
from models.repositories.tenants import Tenants
from models.tenancy import TenantId, mint_tenant
from tests.api.conftest import caller
from tests.api.people import make_person, signed_in

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def house(resources: Resources) -> TenantId:
    """A tenant of nobody yet."""
    return mint_tenant((await Tenants(resources.database).create(f"house-{uuid4().hex[:8]}")).id)


async def test_members_see_each_other_and_change_nobody(app: FastAPI, resources: Resources, house: TenantId) -> None:
    admin = await make_person(resources, (house, "admin"))
    member = await make_person(resources, (house, "member"))
    async with await signed_in(app, member.email) as client:
        listed = (await client.get("/users")).json()["items"]
        refused = [
            await client.post("/users", json={"email": "x@people.test"}),
            await client.patch(f"/users/{member.id}", json={"role": "admin"}),
            await client.delete(f"/users/{admin.id}"),
        ]

    assert {(one["email"], one["role"]) for one in listed} == {(admin.email, "admin"), (member.email, "member")}
    assert [one.status_code for one in refused] == [403, 403, 403]


async def test_an_administrator_changes_roles_and_removes(app: FastAPI, resources: Resources, house: TenantId) -> None:
    admin = await make_person(resources, (house, "admin"))
    member = await make_person(resources, (house, "member"))
    async with await signed_in(app, admin.email) as client, await signed_in(app, member.email) as removed:
        assert (await client.patch(f"/users/{member.id}", json={"role": "admin"})).json()["role"] == "admin"
        assert (await removed.get("/me")).json()["tenant_role"] == "admin"
        assert (await client.delete(f"/users/{member.id}")).status_code == 204
        assert (await client.get(f"/users/{member.id}")).status_code == 404
        assert (await removed.get("/me")).status_code == 401


async def test_the_last_administrator_stays(app: FastAPI, resources: Resources, house: TenantId) -> None:
    admin = await make_person(resources, (house, "admin"))
    await make_person(resources, (house, "member"))
    async with await signed_in(app, admin.email) as client:
        for answer in (
            await client.delete(f"/users/{admin.id}"),
            await client.patch(f"/users/{admin.id}", json={"role": "member"}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (409, "LAST_ADMIN")


async def test_of_two_administrators_who_step_down_at_once_one_stays(resources: Resources, house: TenantId) -> None:
    pair = [await make_person(resources, (house, "admin")) for _ in range(2)]
    members = Memberships(resources.database)
    left = await asyncio.gather(*(members.change_role(house, one.id, "member") for one in pair), return_exceptions=True)
    assert sorted(isinstance(one, Conflict) for one in left) == [False, True]


async def test_members_of_another_tenant_are_not_there(
    api: httpx2.AsyncClient, resources: Resources, house: TenantId
) -> None:
    somebody = await make_person(resources, (house, "member"))
    for method, body in (("GET", None), ("PATCH", {"role": "admin"}), ("DELETE", None)):
        assert (await api.request(method, f"/users/{somebody.id}", json=body)).status_code == 404


async def test_who_is_a_member_is_not_invited_and_an_offer_is_made_anew(
    api: httpx2.AsyncClient, app: FastAPI, resources: Resources, tenant: TenantId
) -> None:
    somebody = await make_person(resources, (tenant, "member"))
    again = await api.post("/users", json={"email": somebody.email})
    assert (again.status_code, again.json()["code"]) == (409, "ALREADY_A_MEMBER")

    email = f"{uuid4().hex}@people.test"
    first, second = [(await api.post("/users", json={"email": email})).json() for _ in range(2)]
    async with caller(app, None) as client:
        body = {"token": first["invitation"], "password": "a long walk by the sea"}
        assert (await client.post("/auth/invitations", json=body)).status_code == 401
        body["token"] = second["invitation"]
        assert (await client.post("/auth/invitations", json=body)).status_code == 200


async def test_a_key_that_may_not_do_all_makes_no_administrator(app: FastAPI, api: httpx2.AsyncClient) -> None:
    key = (await api.post("/api-keys", json={"name": "k", "scopes": ["user:*"]})).json()["key"]
    async with caller(app, key) as client:
        invited = await client.post("/users", json={"email": f"{uuid4().hex}@people.test"})
        assert invited.status_code == 201
        assert (await client.patch(f"/users/{invited.json()['id']}", json={"role": "admin"})).status_code == 403
        more = {"email": f"{uuid4().hex}@people.test", "role": "admin"}
        assert (await client.post("/users", json=more)).status_code == 403


async def test_only_the_installations_administrators_disable_accounts(
    app: FastAPI, api: httpx2.AsyncClient, resources: Resources, house: TenantId, tenant: TenantId
) -> None:
    somebody = await make_person(resources, (house, "member"), (tenant, "member"))
    admin = await make_person(resources, (house, "admin"))
    async with await signed_in(app, admin.email) as client, await signed_in(app, somebody.email) as disabled:
        assert (await client.patch(f"/users/{somebody.id}", json={"disabled": True})).status_code == 403
        assert (await api.patch(f"/users/{somebody.id}", json={"disabled": True})).json()["disabled"]
        assert (await disabled.get("/me")).status_code == 401
    assert not (await api.patch(f"/users/{somebody.id}", json={"disabled": False})).json()["disabled"]


@pytest.mark.parametrize("email", ["nobody", "a@", "@b", "a@b@c", "a b@c", "a\u0000b@c"])
async def test_what_is_no_address_is_refused(api: httpx2.AsyncClient, email: str) -> None:
    assert (await api.post("/users", json={"email": email})).status_code in (400, 422)


async def test_fields_that_are_not_ours_to_set_are_refused(api: httpx2.AsyncClient) -> None:
    body = {"email": "x@people.test", "tenant_id": str(uuid4()), "email_verified": True}
    assert (await api.post("/users", json=body)).status_code == 422
