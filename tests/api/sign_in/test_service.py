from __future__ import annotations

from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from api.rate_limits import rate_of
from api.resources import Resources
from models.repositories.api_keys import hash_secret
from models.repositories.tenants import Tenants
from models.repositories.users import Users
from models.tenancy import TenantId, mint_tenant
from tests.api.conftest import caller
from tests.api.people import PASSWORD, Somebody, make_person, sign_in, signed_in

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def somebody(resources: Resources, tenant: TenantId) -> Somebody:
    return await make_person(resources, (tenant, "member"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def other(resources: Resources) -> TenantId:
    return mint_tenant((await Tenants(resources.database).create(f"other-{uuid4().hex[:8]}")).id)


async def post(app: FastAPI, path: str, **body: object) -> httpx2.Response:
    async with caller(app, None) as client:
        return await client.post(path, json=body)


async def test_a_login_gives_tokens_that_say_who_the_person_is(
    app: FastAPI, somebody: Somebody, tenant: TenantId
) -> None:
    login = await sign_in(app, somebody.email.upper())

    async with caller(app, login["access_token"]) as client:
        me = (await client.get("/me")).json()

    assert login["token_type"] == "bearer"
    assert [one["id"] for one in login["tenants"]] == [str(tenant)]
    assert me["user"]["email"] == somebody.email
    assert (me["tenant_id"], me["tenant_role"]) == (str(tenant), "member")


async def test_tokens_are_not_stored_by_caches(app: FastAPI, somebody: Somebody) -> None:
    answer = await post(app, "/auth/token", email=somebody.email, password=PASSWORD)
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("email", "password"), [("", "wrong password here"), ("nobody@people.test", PASSWORD)])
async def test_a_wrong_password_and_an_unknown_address_are_refused_alike(
    app: FastAPI, somebody: Somebody, email: str, password: str
) -> None:
    answer = await post(app, "/auth/token", email=email or somebody.email, password=password)

    assert answer.status_code == 401
    assert answer.json()["detail"] == "the e-mail address or the password is wrong"


async def test_an_address_that_nobody_has_costs_a_hash_too(resources: Resources) -> None:
    calls: list[str | None] = []
    hasher = resources.passwords._hasher  # pyright: ignore[reportPrivateUsage]
    assert await resources.passwords.verify(PASSWORD, None) == (False, None)
    nobodys = resources.passwords._nobodys  # pyright: ignore[reportPrivateUsage]
    calls.append(nobodys)
    assert nobodys is not None
    assert nobodys.split("$")[:4] == hasher.hash("x").split("$")[:4]  # the same algorithm and the same parameters


async def test_a_person_of_two_tenants_chooses_one_and_switches(
    app: FastAPI, resources: Resources, tenant: TenantId, other: TenantId
) -> None:
    somebody = await make_person(resources, (tenant, "member"), (other, "admin"))
    first = await sign_in(app, somebody.email)
    assert first["tenant"]["id"] == str(tenant)
    assert len(first["tenants"]) == 2

    async with caller(app, first["access_token"]) as client:
        switched = (await client.post("/auth/switch-tenant", json={"tenant": str(other)})).json()
        unchanged = (await client.get("/me")).json()

    assert switched["tenant"] == {"id": str(other), "name": switched["tenant"]["name"], "role": "admin"}
    assert switched["session_expires_at"] == first["session_expires_at"]
    assert unchanged["tenant_id"] == str(tenant)
    assert (await sign_in(app, somebody.email, tenant=switched["tenant"]["name"]))["tenant"]["id"] == str(other)


async def test_nobody_signs_in_to_a_tenant_of_others(app: FastAPI, somebody: Somebody, other: TenantId) -> None:
    answer = await post(app, "/auth/token", email=somebody.email, password=PASSWORD, tenant=str(other))
    assert (answer.status_code, answer.json()["code"]) == (403, "NO_TENANT")


async def test_a_refresh_token_is_good_once_and_its_reuse_ends_the_login(app: FastAPI, somebody: Somebody) -> None:
    first = await sign_in(app, somebody.email)
    second = (await post(app, "/auth/refresh", refresh_token=first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]

    reused = await post(app, "/auth/refresh", refresh_token=first["refresh_token"])
    newest = await post(app, "/auth/refresh", refresh_token=second["refresh_token"])
    async with caller(app, second["access_token"]) as client:
        me = await client.get("/me")

    assert (reused.status_code, newest.status_code, me.status_code) == (401, 401, 401)


@pytest.mark.parametrize("token", ["x", "sfr_", "sfr_a.b", "sfr_" + "é" * 40 + ".\x00"])
async def test_a_refresh_token_that_never_was_is_refused(app: FastAPI, token: str) -> None:
    assert (await post(app, "/auth/refresh", refresh_token=token)).status_code in (400, 401, 422)


async def test_a_logout_ends_the_login_at_once_and_no_other(app: FastAPI, somebody: Somebody) -> None:
    kept, ended = await sign_in(app, somebody.email), await sign_in(app, somebody.email)

    assert (await post(app, "/auth/logout", refresh_token=ended["refresh_token"])).status_code == 204
    assert (await post(app, "/auth/logout", refresh_token="sfr_unknown.token")).status_code == 204

    for login, status in ((ended, 401), (kept, 200)):
        async with caller(app, login["access_token"]) as client:
            assert (await client.get("/me")).status_code == status
    assert (await post(app, "/auth/refresh", refresh_token=ended["refresh_token"])).status_code == 401


async def test_a_disabled_persons_live_token_is_refused_and_she_cannot_sign_in(
    app: FastAPI, resources: Resources, somebody: Somebody, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.auth.REMEMBER_S", 0.0)  # as if the seconds had passed
    login = await sign_in(app, somebody.email)
    await Users(resources.database).set_disabled(somebody.id, True)

    async with caller(app, login["access_token"]) as client:
        assert (await client.get("/me")).status_code == 401
    assert (await post(app, "/auth/refresh", refresh_token=login["refresh_token"])).status_code == 401
    assert (await post(app, "/auth/token", email=somebody.email, password=PASSWORD)).status_code == 401


async def test_too_many_tries_for_an_address_are_turned_away_with_the_time_to_wait(
    app: FastAPI, resources: Resources
) -> None:
    email = f"{uuid4().hex}@people.test"
    rate = rate_of(resources.settings.auth.login_per_email)
    for _ in range(19):  # of 20 in five minutes
        await resources.rate_limits.take("e-mail address", hash_secret(email), rate)
    answers = [await post(app, "/auth/token", email=email, password="x")]
    while answers[-1].status_code == 401 and len(answers) < 4:  # old tries count a little less with each second
        answers.append(await post(app, "/auth/token", email=email, password="x"))

    assert (answers[0].status_code, answers[-1].status_code) == (401, 429)
    assert answers[-1].json()["code"] == "RATE_LIMITED"
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 300


async def test_an_invitation_makes_an_account_with_a_password(app: FastAPI, api: httpx2.AsyncClient) -> None:
    invited = (await api.post("/users", json={"email": f"{uuid4().hex[:8]}@people.test"})).json()
    assert invited["accepted_at"] is None

    weak = await post(app, "/auth/invitations", token=invited["invitation"], password="password1234")
    login = await post(app, "/auth/invitations", token=invited["invitation"], password=PASSWORD, display_name="Eve")
    again = await post(app, "/auth/invitations", token=invited["invitation"], password=PASSWORD)

    assert weak.json()["issues"][0]["path"] == "password"
    assert login.json()["user"]["display_name"] == "Eve"
    assert again.status_code == 401
    assert (await sign_in(app, invited["email"]))["user"]["id"] == invited["id"]


async def test_an_account_that_exists_is_not_taken_over_by_an_invitation(
    app: FastAPI, api: httpx2.AsyncClient, resources: Resources, other: TenantId
) -> None:
    somebody = await make_person(resources, (other, "member"))
    invited = (await api.post("/users", json={"email": somebody.email})).json()

    wrong = await post(app, "/auth/invitations", token=invited["invitation"], password="another long password")
    right = await post(app, "/auth/invitations", token=invited["invitation"], password=PASSWORD)

    assert wrong.status_code == 401
    assert right.status_code == 200
    assert len(right.json()["tenants"]) == 2


async def test_an_invitation_gives_nothing_before_it_is_accepted(
    app: FastAPI, api: httpx2.AsyncClient, resources: Resources, other: TenantId, tenant: TenantId
) -> None:
    somebody = await make_person(resources, (other, "member"))
    await api.post("/users", json={"email": somebody.email})

    login = await sign_in(app, somebody.email)
    denied = await post(app, "/auth/token", email=somebody.email, password=PASSWORD, tenant=str(tenant))

    assert [one["id"] for one in login["tenants"]] == [str(other)]
    assert denied.status_code == 403


async def test_a_new_password_ends_the_other_logins(app: FastAPI, somebody: Somebody) -> None:
    elsewhere = await sign_in(app, somebody.email)
    async with await signed_in(app, somebody.email) as here:
        wrong = await here.post("/me/password", json={"old_password": "not that one", "new_password": "b" * 20})
        weak = await here.post("/me/password", json={"old_password": PASSWORD, "new_password": "b" * 20})
        changed = await here.post(
            "/me/password", json={"old_password": PASSWORD, "new_password": "another walk by the sea"}
        )
        still = await here.get("/me")
        sessions = (await here.get("/me/sessions")).json()["items"]

    assert (wrong.status_code, weak.status_code, changed.status_code, still.status_code) == (401, 422, 204, 200)
    assert [one["current"] for one in sessions] == [True]
    assert (await post(app, "/auth/refresh", refresh_token=elsewhere["refresh_token"])).status_code == 401
    await sign_in(app, somebody.email, "another walk by the sea")


async def test_an_api_key_does_not_act_as_the_person_herself(api: httpx2.AsyncClient) -> None:
    for method, path, body in (
        ("PATCH", "/me", {"display_name": "x"}),
        ("POST", "/me/password", {"old_password": "x", "new_password": "y"}),
        ("POST", "/auth/switch-tenant", {"tenant": "default"}),
        ("GET", "/me/sessions", None),
    ):
        answer = await api.request(method, path, json=body)
        assert answer.status_code == 403, path


async def test_a_person_ends_one_of_her_logins_and_none_of_others(
    app: FastAPI, resources: Resources, somebody: Somebody, tenant: TenantId
) -> None:
    neighbour = await make_person(resources, (tenant, "member"))
    async with await signed_in(app, somebody.email) as here, await signed_in(app, neighbour.email) as there:
        mine = (await here.get("/me/sessions")).json()["items"][0]["id"]
        foreign = await there.delete(f"/me/sessions/{mine}")
        own = await here.delete(f"/me/sessions/{mine}")
        after = await here.get("/me")

    assert (foreign.status_code, own.status_code, after.status_code) == (404, 204, 401)
