from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI

from api.resources import Resources
from models.repositories.memberships import Memberships
from models.tenancy import TenantId
from tests.api.conftest import caller
from tests.api.people import make_person, signed_in

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def make(client: httpx2.AsyncClient, **given: object) -> httpx2.Response:
    return await client.post("/api-keys", json={"name": "k", "scopes": ["*"], **given})


async def test_a_persons_key_acts_for_her_and_goes_with_her(
    app: FastAPI, resources: Resources, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.auth.REMEMBER_S", 0.0)
    somebody = await make_person(resources, (tenant, "member"))
    async with await signed_in(app, somebody.email) as client:
        made = (await make(client)).json()
    assert made["key"].startswith(made["hint"])

    async with caller(app, made["key"]) as key:
        me = (await key.get("/me")).json()
        assert me["user"]["email"] == somebody.email
        assert (await key.post("/users", json={"email": "x@people.test"})).status_code == 403  # she is no administrator
        await Memberships(resources.database).remove(tenant, somebody.id)
        assert (await key.get("/me")).status_code == 401


async def test_the_secret_is_shown_once(api: httpx2.AsyncClient) -> None:
    made = (await make(api)).json()
    listed = (await api.get("/api-keys")).text + (await api.get(f"/api-keys/{made['id']}")).text
    assert made["id"] in listed
    assert made["key"] not in listed


@pytest.mark.parametrize("scope", ["*", "workflow:*", "workflow:write", "user:write"])
async def test_a_key_makes_no_stronger_key(app: FastAPI, api: httpx2.AsyncClient, scope: str) -> None:
    weak = (await make(api, scopes=["api_key:*", "workflow:read"])).json()["key"]
    async with caller(app, weak) as client:
        assert (await make(client, scopes=[scope])).status_code == 403
        assert (await make(client, scopes=["workflow:read"])).status_code == 201


async def test_a_key_makes_no_key_that_outlives_it(app: FastAPI, api: httpx2.AsyncClient) -> None:
    end = datetime.now(UTC) + timedelta(hours=1)
    short = (await make(api, expires_at=end.isoformat())).json()["key"]
    async with caller(app, short) as client:
        assert (await make(client)).status_code == 403
        assert (await make(client, expires_at=(end + timedelta(hours=1)).isoformat())).status_code == 403
        assert (await make(client, expires_at=(end - timedelta(minutes=1)).isoformat())).status_code == 201


async def test_a_key_rotates_no_stronger_key(app: FastAPI, api: httpx2.AsyncClient) -> None:
    strong = (await make(api)).json()
    weak = (await make(api, scopes=["api_key:*"])).json()["key"]
    async with caller(app, weak) as client:
        assert (await client.post(f"/api-keys/{strong['id']}/rotate")).status_code == 403


async def test_rotating_replaces_the_secret_at_once(app: FastAPI, api: httpx2.AsyncClient) -> None:
    made = (await make(api)).json()
    async with caller(app, made["key"]) as client:
        assert (await client.get("/me")).status_code == 200
        renewed = (await api.post(f"/api-keys/{made['id']}/rotate")).json()
        assert (await client.get("/me")).status_code == 401
    async with caller(app, renewed["key"]) as client:
        assert (await client.get("/me")).json()["key_id"] == made["id"]


async def test_a_revoked_key_is_refused_at_once(app: FastAPI, api: httpx2.AsyncClient) -> None:
    made = (await make(api)).json()
    async with caller(app, made["key"]) as client:
        assert (await client.get("/me")).status_code == 200
        assert (await api.delete(f"/api-keys/{made['id']}")).status_code == 204
        assert (await client.get("/me")).status_code == 401
    assert (await api.delete(f"/api-keys/{made['id']}")).status_code == 404


async def test_members_see_and_change_their_own_keys_alone(
    app: FastAPI, resources: Resources, tenant: TenantId, api: httpx2.AsyncClient
) -> None:
    one, two = [await make_person(resources, (tenant, "member")) for _ in range(2)]
    async with await signed_in(app, one.email) as first, await signed_in(app, two.email) as second:
        mine = (await make(first)).json()["id"]
        assert [key["id"] for key in (await first.get("/api-keys")).json()["items"]] == [mine]
        assert (await second.get(f"/api-keys?user_id={one.id}")).json()["items"] == []
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/rotate")):
            assert (await second.request(method, f"/api-keys/{mine}{path}")).status_code == 404
        assert (await make(first, belongs_to="nobody")).status_code == 403
    assert (await api.post(f"/api-keys/{mine}/rotate")).status_code == 403  # nobody gets the key of a person


async def test_another_tenants_key_is_not_there(api: httpx2.AsyncClient, stranger: httpx2.AsyncClient) -> None:
    made = (await make(api)).json()["id"]
    assert (await stranger.get(f"/api-keys/{made}")).status_code == 404
    assert (await stranger.delete(f"/api-keys/{made}")).status_code == 404


@pytest.mark.parametrize(
    "given",
    [
        {"scopes": ["everything"]},
        {"scopes": []},
        {"expires_at": "2001-01-01T00:00:00Z"},
        {"expires_at": "2101-01-01T00:00:00"},
        {"belongs_to": "me"},
        {"name": "ada@example.org"},
        {"name": str(uuid4())},
        {"user_id": str(uuid4())},
        {"tenant_id": str(uuid4())},
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(api: httpx2.AsyncClient, given: dict[str, object]) -> None:
    assert (await make(api, **given)).status_code == 422


async def test_scopes_are_listed(api: httpx2.AsyncClient) -> None:
    listed = {one["scope"]: one["administrators_only"] for one in (await api.get("/api-keys/scopes")).json()["items"]}
    assert listed["user:write"]
    assert not listed["workflow:read"]
    assert "public" not in listed
