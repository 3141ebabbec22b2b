from __future__ import annotations

import dataclasses
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from api.app import create_app
from api.authentication.oidc import open_provider
from api.resources import Resources
from engine.errors import ConfigurationError
from engine.settings import Settings
from models.repositories.tenants import Tenants
from models.repositories.users import Users
from models.tenancy import TenantId, mint_tenant
from tests.api.conftest import caller
from tests.api.people import PASSWORD, make_person, sign_in
from tests.api.sign_in.provider import CLIENT, SECRET, LoopbackProvider, running_provider

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(resources: Resources) -> TenantId:
    return mint_tenant((await Tenants(resources.database).create(f"house-{uuid4().hex[:8]}")).id)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running() -> AsyncIterator[LoopbackProvider]:
    async with running_provider() as started:
        yield started


@pytest.fixture
def provider(running: LoopbackProvider) -> LoopbackProvider:
    running.person = {"sub": uuid4().hex, "email": f"{uuid4().hex}@people.test", "email_verified": True, "name": "Eve"}
    running.changes, running.header, running.said_issuer = {}, {}, running.issuer
    running.key = running.published[0]
    return running


@pytest_asyncio.fixture(loop_scope="session")
async def oidc(
    settings: Settings, resources: Resources, provider: LoopbackProvider, house: TenantId
) -> AsyncIterator[FastAPI]:
    """An API whose people may sign in by the provider; `staff` belong to the tenant `house`."""
    name = (await Tenants(resources.database).get(house)).name
    own = settings.override(
        {
            "http": {"allowed_hosts": ["127.0.0.1"]},
            "auth": {
                "oidc_issuer": provider.issuer,
                "oidc_client_id": CLIENT,
                "oidc_client_secret": SECRET,
                "oidc_redirect_url": "http://api/api/v1/auth/oidc/callback",
                "oidc_tenant_claim": "groups",
                "oidc_tenants": {"staff": name},
            },
        }
    )
    opened = open_provider(own)
    assert opened is not None
    yield create_app(own, dataclasses.replace(resources, settings=own, provider=opened))
    await opened.close()


async def begin(app: FastAPI) -> tuple[str, str]:
    """The provider's page and the cookie."""
    async with caller(app, None) as client:
        answer = await client.get("/auth/oidc/login")
    assert answer.status_code == 303, answer.text
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    return answer.headers["location"], cookie.partition(";")[0]


async def agree(url: str) -> dict[str, str]:
    """What the provider sends the browser back with."""
    async with httpx2.AsyncClient(trust_env=False) as browser:
        answer = await browser.get(url)
    return dict(httpx2.URL(answer.headers["location"]).params)


async def come_back(app: FastAPI, cookie: str, answer: dict[str, str]) -> httpx2.Response:
    async with caller(app, None) as client:
        return await client.get("/auth/oidc/callback", params=answer, headers={"Cookie": cookie} if cookie else {})


async def by_provider(app: FastAPI) -> httpx2.Response:
    url, cookie = await begin(app)
    return await come_back(app, cookie, await agree(url))


async def test_a_new_person_gets_an_account_in_the_tenant_of_the_settings(
    oidc: FastAPI, provider: LoopbackProvider, tenant: TenantId
) -> None:
    login = (await by_provider(oidc)).json()
    async with caller(oidc, login["access_token"]) as client:
        me = (await client.get("/me")).json()

    assert me["user"] == {**login["user"], "email": provider.person["email"], "display_name": "Eve"}
    assert (me["tenant_id"], me["tenant_role"]) == (str(tenant), "member")


async def test_a_claim_maps_people_to_tenants(oidc: FastAPI, provider: LoopbackProvider, house: TenantId) -> None:
    provider.person["groups"] = ["others", "staff"]
    assert [one["id"] for one in (await by_provider(oidc)).json()["tenants"]] == [str(house)]


async def test_the_subject_stays_the_person_when_the_address_changes(oidc: FastAPI, provider: LoopbackProvider) -> None:
    first = (await by_provider(oidc)).json()
    provider.person["email"] = f"{uuid4().hex}@people.test"
    second = (await by_provider(oidc)).json()
    assert second["user"] == first["user"]


async def test_an_account_of_the_verified_address_is_linked_and_a_strangers_password_goes(
    oidc: FastAPI, app: FastAPI, resources: Resources, provider: LoopbackProvider, tenant: TenantId
) -> None:
    somebody = await make_person(resources, (tenant, "admin"))
    squatter = await sign_in(app, somebody.email)
    provider.person["email"] = somebody.email.upper()

    login = (await by_provider(oidc)).json()

    assert login["user"]["id"] == str(somebody.id)
    assert login["tenant"]["role"] == "admin"
    async with caller(app, None) as client:
        refused = await client.post("/auth/token", json={"email": somebody.email, "password": PASSWORD})
        ended = await client.post("/auth/refresh", json={"refresh_token": squatter["refresh_token"]})
    assert (refused.status_code, ended.status_code) == (401, 401)


@pytest.mark.parametrize("verified", [False, None, "true", 1])
async def test_an_address_that_is_not_verified_links_nothing(
    oidc: FastAPI, resources: Resources, provider: LoopbackProvider, tenant: TenantId, verified: object
) -> None:
    somebody = await make_person(resources, (tenant, "admin"))
    provider.person |= {"email": somebody.email, "email_verified": verified}
    answer = await by_provider(oidc)
    assert (answer.status_code, answer.json()["code"]) == (403, "EMAIL_NOT_VERIFIED")


async def test_a_disabled_account_stays_out(oidc: FastAPI, resources: Resources, provider: LoopbackProvider) -> None:
    user = (await by_provider(oidc)).json()["user"]
    await Users(resources.database).set_disabled(user["id"], True)
    assert (await by_provider(oidc)).status_code == 403


LATE = int(time.time()) - 3600
BAD: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "expired": ({"exp": LATE}, {}),
    "without end": ({"exp": None}, {}),
    "another audience": ({"aud": "another-client"}, {}),
    "without audience": ({"aud": None}, {}),
    "several audiences and no azp": ({"aud": [CLIENT, "another-client"]}, {}),
    "another azp": ({"azp": "another-client"}, {}),
    "another issuer": ({"iss": "https://elsewhere.test"}, {}),
    "another nonce": ({"nonce": "x"}, {}),
    "without nonce": ({"nonce": None}, {}),
    "without subject": ({"sub": None}, {}),
    "an unknown key": ({}, {"kid": "unknown"}),
}


@pytest.mark.parametrize(("changes", "header"), BAD.values(), ids=BAD.keys())
async def test_a_bad_id_token_is_refused(
    oidc: FastAPI, provider: LoopbackProvider, changes: dict[str, Any], header: dict[str, Any]
) -> None:
    provider.changes, provider.header = changes, header
    answer = await by_provider(oidc)
    assert answer.status_code == 401, answer.text
    assert "access_token" not in answer.json()


async def test_a_key_that_is_not_published_signs_nothing(oidc: FastAPI, provider: LoopbackProvider) -> None:
    provider.key, provider.header = provider.new_key(), {"kid": provider.published[0].kid}
    assert (await by_provider(oidc)).status_code == 401


async def test_keys_that_are_replaced_are_read_again(
    oidc: FastAPI, provider: LoopbackProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await by_provider(oidc)).status_code == 200
    reads = provider.key_reads
    provider.key = provider.new_key()
    provider.published.insert(0, provider.key)
    assert (await by_provider(oidc)).status_code == 401  # so soon after the last reading they are not read again
    assert provider.key_reads == reads
    monkeypatch.setattr("api.authentication.oidc.KEYS_AT_MOST_EVERY_S", 0.0)
    assert (await by_provider(oidc)).status_code == 200


async def test_an_answer_counts_in_the_browser_that_began_and_once(oidc: FastAPI) -> None:
    url, cookie = await begin(oidc)
    _, foreign = await begin(oidc)
    answer = await agree(url)
    for wrong in ("", foreign, "structforge_sign_in=forged", cookie[:-3] + "AAA"):
        assert (await come_back(oidc, wrong, answer)).status_code == 401
    assert (await come_back(oidc, cookie, {**answer, "state": "x"})).status_code == 401
    assert (await come_back(oidc, cookie, answer)).status_code == 200
    assert (await come_back(oidc, cookie, answer)).status_code == 401  # the provider knows that the code was used


async def test_a_person_who_does_not_agree_is_not_signed_in(oidc: FastAPI) -> None:
    _, cookie = await begin(oidc)
    assert (await come_back(oidc, cookie, {"error": "access_denied", "state": "x"})).status_code == 401


async def test_a_provider_that_says_it_is_another_is_not_used(oidc: FastAPI, provider: LoopbackProvider) -> None:
    provider.said_issuer = "https://elsewhere.test"
    async with caller(oidc, None) as client:
        assert (await client.get("/auth/oidc/login")).status_code == 503


async def test_an_internal_address_is_refused_unless_the_operator_allows_it(
    settings: Settings, resources: Resources, provider: LoopbackProvider
) -> None:
    named = {"oidc_issuer": provider.issuer, "oidc_client_id": "x", "oidc_redirect_url": "http://api/"}
    own = settings.override({"http": {"allowed_hosts": []}, "auth": named})
    opened = open_provider(own)
    assert opened is not None
    async with caller(create_app(own, dataclasses.replace(resources, settings=own, provider=opened)), None) as client:
        assert (await client.get("/auth/oidc/login")).status_code == 503
    await opened.close()


async def test_without_a_provider_there_is_none(app: FastAPI) -> None:
    async with caller(app, None) as client:
        assert (await client.get("/auth/oidc/login")).status_code == 404
        assert (await client.get("/auth/methods")).json() == {"password": True, "oidc": False}


@pytest.mark.parametrize("given", [{"oidc_issuer": "https://id.test"}, {"password_login": False}])
async def test_half_a_provider_is_refused(settings: Settings, given: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        open_provider(settings.override({"auth": given}))
