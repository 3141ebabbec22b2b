"""The codec server: it opens and seals for the caller's own tenant, for administrators, and for one page besides."""

from __future__ import annotations

import base64
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from temporalio.api.common.v1 import Payload

from api.app import create_app
from api.codec_server.origins import ui_origins
from api.resources import Resources
from engine.activities.clients.codec import PayloadCipher
from engine.settings import Settings
from models.repositories.api_keys import ApiKeys
from models.sealing import Keyring
from models.tenancy import TenantId
from tests.api.conftest import caller
from tests.api.members import make_member

pytestmark = pytest.mark.asyncio(loop_scope="session")
TEXT = b'{"n": "a text of the tenant"}'
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=TEXT)
UI = "http://ui.example:8080"


def form(payload: Payload) -> dict[str, Any]:
    metadata = {name: base64.b64encode(value).decode() for name, value in payload.metadata.items()}
    return {"metadata": metadata, "data": base64.b64encode(payload.data).decode()}


async def ask(api: httpx2.AsyncClient, what: str, *payloads: Any) -> httpx2.Response:
    return await api.post(f"/codec/{what}", json={"payloads": list(payloads)})


@pytest.fixture
def cipher(resources: Resources) -> PayloadCipher:
    return PayloadCipher(resources.keys.ring)


async def test_what_is_sealed_is_opened_and_the_rest_comes_back(
    api: httpx2.AsyncClient, cipher: PayloadCipher, tenant: TenantId
) -> None:
    nothing = form(Payload(metadata={"encoding": b"binary/null"}))
    answer = await ask(api, "decode", form(cipher.seal(PLAIN, str(tenant))), form(PLAIN), nothing)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"payloads": [form(PLAIN), form(PLAIN), nothing]}
    assert answer.headers["cache-control"] == "no-store"


async def test_what_is_encoded_is_sealed_for_the_callers_tenant(
    api: httpx2.AsyncClient, cipher: PayloadCipher, tenant: TenantId
) -> None:
    (sealed,) = (await ask(api, "encode", form(PLAIN))).json()["payloads"]
    assert base64.b64encode(TEXT).decode() not in str(sealed)
    assert base64.b64decode(sealed["metadata"]["tenant"]).decode() == str(tenant)
    assert (await ask(api, "encode", sealed)).json()["payloads"] == [sealed], "sealed once is enough"
    assert (await ask(api, "decode", sealed)).json()["payloads"] == [form(PLAIN)]


async def test_another_tenants_payload_is_refused_with_all_that_came_along(
    stranger: httpx2.AsyncClient, cipher: PayloadCipher, tenant: TenantId
) -> None:
    answer = await ask(stranger, "decode", form(PLAIN), form(cipher.seal(PLAIN, str(tenant))))
    assert (answer.status_code, answer.json()["code"]) == (403, "ACCESS_DENIED")
    assert "payloads" not in answer.json()


async def test_a_payload_that_claims_the_callers_tenant_does_not_open(
    stranger: httpx2.AsyncClient, api: httpx2.AsyncClient, cipher: PayloadCipher, tenant: TenantId
) -> None:
    (own,) = (await ask(stranger, "encode", form(PLAIN))).json()["payloads"]
    forged = form(cipher.seal(PLAIN, str(tenant)))
    forged["metadata"]["tenant"] = own["metadata"]["tenant"]
    answer = await ask(stranger, "decode", forged)
    assert (answer.status_code, answer.json()["code"]) == (422, "PAYLOAD_UNREADABLE")


async def test_a_payload_under_a_lost_key_says_so(api: httpx2.AsyncClient, tenant: TenantId) -> None:
    lost = PayloadCipher(lambda: Keyring("lost", {"lost": bytes(32)}))
    answer = await ask(api, "decode", form(lost.seal(PLAIN, str(tenant))))
    assert (answer.status_code, answer.json()["details"]) == (422, {"key_id": "lost"})


@pytest.mark.parametrize(
    "payload", [{"data": "not base64!"}, {"metadata": {"encoding": "ä"}}, {"data": 1}, {"more": 1}], ids=str
)
async def test_a_malformed_payload_is_named(api: httpx2.AsyncClient, payload: dict[str, Any]) -> None:
    answer = await ask(api, "decode", payload)
    assert answer.status_code == 422
    assert answer.json()["issues"][0]["path"].startswith("body.payloads[0]")


async def test_members_and_narrow_keys_do_not_read_the_whole_tenant(
    app: FastAPI, resources: Resources, tenant: TenantId
) -> None:
    member = await make_member(resources, tenant)
    _, narrow = await ApiKeys(resources.database).create(tenant, "narrow", scopes=("execution:*",))
    for secret in (member.token, narrow):
        async with caller(app, secret) as client:
            assert (await ask(client, "decode", form(PLAIN))).status_code == 403
    async with caller(app, None) as client:
        assert (await ask(client, "decode", form(PLAIN))).status_code == 401


# ---- origins


@pytest.fixture
def shared(settings: Settings, resources: Resources) -> FastAPI:
    return create_app(settings.override({"codec": {"ui_origins": [UI]}}), resources)


async def preflight(app: FastAPI, path: str, origin: str) -> httpx2.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-namespace",
    }
    async with caller(app, None) as client:
        return await client.options(path, headers=headers)


async def test_the_page_of_the_web_ui_may_ask_and_no_other(shared: FastAPI) -> None:
    answer = await preflight(shared, "/codec/decode", UI)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, UI)
    for other in ("http://evil.example", "null", f"{UI}.evil.example"):
        answer = await preflight(shared, "/codec/decode", other)
        assert "access-control-allow-origin" not in answer.headers


async def test_no_other_route_is_shared_with_that_page(shared: FastAPI) -> None:
    for path in ("/workflows", "/codec", "/codecs/decode", "/auth/token"):
        assert "access-control-allow-origin" not in (await preflight(shared, path, UI)).headers


async def test_the_page_still_needs_a_login(shared: FastAPI) -> None:
    async with caller(shared, None) as client:
        answer = await client.post("/codec/decode", json={"payloads": []}, headers={"Origin": UI})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == UI, "so that the page may read why"


async def test_the_origin_is_that_of_the_web_ui_unless_others_are_named(settings: Settings) -> None:
    known = settings.override({"temporal": {"ui_url": "http://127.0.0.1:8233/namespaces/default"}})
    assert ui_origins(known) == ["http://127.0.0.1:8233", "http://localhost:8233"]
    assert ui_origins(known.override({"codec": {"ui_origins": [UI]}})) == [UI]
    assert ui_origins(settings.override({"temporal": {"ui_url": None}})) == []
