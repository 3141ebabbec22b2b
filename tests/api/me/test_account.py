"""What people change about their own account."""

from __future__ import annotations

from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from api.resources import Resources
from models.repositories.tenants import Tenants
from models.tenancy import TenantId, mint_tenant
from tests.api.conftest import caller, document
from tests.api.people import PASSWORD, make_person, sign_in, signed_in

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def house(resources: Resources) -> TenantId:
    return mint_tenant((await Tenants(resources.database).create(f"house-{uuid4().hex[:8]}")).id)


def fresh() -> str:
    return f"{uuid4().hex[:12]}@people.test"


async def _status(app: FastAPI, secret: str) -> int:
    async with caller(app, secret) as client:
        return (await client.get("/me")).status_code


async def test_another_address_takes_the_password_and_is_signed_in_with(
    app: FastAPI, resources: Resources, house: TenantId
) -> None:
    person, new = await make_person(resources, (house, "member")), fresh()
    elsewhere = (await sign_in(app, person.email))["access_token"]
    async with await signed_in(app, person.email) as client:
        wrong = await client.post("/me/email", json={"email": new, "password": "another one"})
        changed = await client.post("/me/email", json={"email": f" {new.upper()} ", "password": PASSWORD})
        here = await client.get("/me")

    assert wrong.status_code == 401
    assert changed.status_code == 200, changed.text
    assert changed.json()["user"]["email"] == here.json()["user"]["email"] == new
    assert await _status(app, elsewhere) == 401
    assert await _status(app, (await sign_in(app, new))["access_token"]) == 200


async def test_an_address_in_use_is_not_taken(app: FastAPI, resources: Resources, house: TenantId) -> None:
    person, other = [await make_person(resources, (house, "member")) for _ in range(2)]
    async with await signed_in(app, person.email) as client:
        answer = await client.post("/me/email", json={"email": other.email, "password": PASSWORD})

    assert (answer.status_code, answer.json()["code"]) == (409, "EMAIL_TAKEN")


async def test_an_account_that_is_closed_ends_logins_and_keys_and_leaves_what_it_made(
    app: FastAPI, resources: Resources, house: TenantId
) -> None:
    admin = await make_person(resources, (house, "admin"))
    person = await make_person(resources, (house, "member"))
    login = (await sign_in(app, person.email))["access_token"]
    async with caller(app, login) as client:
        key = (await client.post("/api-keys", json={"name": "k", "scopes": ["*"]})).json()["key"]
        made = (await client.post("/workflows", json={"document": document()})).json()["id"]
        closed = await client.post("/me/deactivate", json={"password": PASSWORD})
    async with await signed_in(app, admin.email) as administrator:
        left = await administrator.get(f"/workflows/{made}")

    assert closed.status_code == 204, closed.text
    assert [await _status(app, secret) for secret in (login, key)] == [401, 401]
    assert left.json()["status"] == "active"


async def test_the_last_administrator_stays(app: FastAPI, resources: Resources, house: TenantId) -> None:
    admin = await make_person(resources, (house, "admin"))
    async with await signed_in(app, admin.email) as client:
        answer = await client.post("/me/deactivate", json={"password": PASSWORD})
        still = await client.get("/me")

    assert (answer.status_code, answer.json()["code"], still.status_code) == (409, "LAST_ADMIN", 200)


async def _grants(client: httpx2.AsyncClient, workflow_id: str) -> list[str]:
    listed = (await client.get(f"/workflows/{workflow_id}/grants")).json()
    return [one["email"] for one in listed["items"]]


async def test_who_is_removed_leaves_roles_and_keys_and_comes_back_without_them(
    app: FastAPI, resources: Resources, house: TenantId
) -> None:
    admin = await make_person(resources, (house, "admin"))
    person = await make_person(resources, (house, "member"))
    async with await signed_in(app, person.email) as client:
        made = (await client.post("/workflows", json={"document": document()})).json()["id"]
    async with await signed_in(app, admin.email) as administrator:
        before = await _grants(administrator, made)
        removed = await administrator.delete(f"/users/{person.id}")
        after = await _grants(administrator, made)
        run = await administrator.get(f"/workflows/{made}")

    assert removed.status_code == 204, removed.text
    assert (before, after) == ([person.email], [])
    assert run.json()["status"] == "active"
