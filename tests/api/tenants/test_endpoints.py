from __future__ import annotations

from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI

from tests.api.conftest import caller
from tests.api.people import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_tenant_is_made_with_an_administrator_who_administers_it_alone(
    app: FastAPI, api: httpx2.AsyncClient
) -> None:
    name, email = f"tenant-{uuid4().hex[:8]}", f"{uuid4().hex}@people.test"
    made = await api.post("/tenants", json={"name": name, "administrator": {"email": email}})
    token = made.json()["administrator"]["invitation"]
    async with caller(app, None) as client:
        login = (await client.post("/auth/invitations", json={"token": token, "password": PASSWORD})).json()

    assert login["tenant"] == {"id": made.json()["id"], "name": name, "role": "admin"}
    async with caller(app, login["access_token"]) as client:
        assert [one["email"] for one in (await client.get("/users")).json()["items"]] == [email]
        assert (await client.get("/tenant")).json()["id"] == made.json()["id"]
        assert (await client.get("/tenants")).status_code == 403
        assert (await client.post("/tenants", json={"name": "mine"})).status_code == 403
        assert (await client.patch("/tenant", json={"name": f"{name}-new"})).json()["name"] == f"{name}-new"
    assert made.json()["id"] in (await api.get("/tenants?limit=500")).text


async def test_a_name_is_taken_once(api: httpx2.AsyncClient) -> None:
    answer = await api.post("/tenants", json={"name": "default"})
    assert (answer.status_code, answer.json()["code"]) == (409, "NAME_TAKEN")
