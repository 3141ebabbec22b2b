"""Calls from outside that must not start anything: forged, replayed, late, unsigned, and answers that overreach."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from api.app import create_app, open_first_resources
from api.hooks.answers import HookFailure, shaped
from api.resources import Resources
from engine.settings import Settings
from models.ids import new_id
from models.repositories.api_keys import ApiKeys
from models.repositories.tenants import Tenants
from models.session import Database
from models.tenancy import TenantId, mint_tenant
from tests.api.conftest import caller
from tests.api.hooks.calling import SECRET, credential, fresh_path, hooked, publish, signed, url_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
BODY = b'{"amount":10}'
TOKEN = "token-of-the-tests-4711"


@dataclass(slots=True)
class Shop:
    """A tenant with webhooks, and the world before them."""

    app: FastAPI
    resources: Resources
    tenant: TenantId
    api: httpx2.AsyncClient
    world: httpx2.AsyncClient
    made: list[str] = field(default_factory=list[str])

    async def hook(self, **params: Any) -> str:
        """The URL of a new webhook."""
        path = fresh_path()
        self.made.append((await publish(self.api, hooked(path, **params)))["id"])
        return url_of(path, self.tenant)

    async def started(self) -> int:
        """Executions of the webhook that was made last."""
        listed = await self.api.get("/executions", params={"workflow_id": self.made[-1]})
        return len(listed.json()["items"])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(engine_servers: Settings) -> AsyncIterator[Shop]:
    settings = engine_servers.override({"worker": {"task_queue": "nobody-works-here"}})
    tenant = mint_tenant(new_id())
    async with open_first_resources(settings) as resources:
        await Tenants(resources.database).ensure(tenant, f"shop {tenant}")
        _, secret = await ApiKeys(resources.database).create(tenant, "shop", scopes=("*",))
        app = create_app(settings, resources)
        async with caller(app, secret) as api, caller(app, None) as world:
            yield Shop(app, resources, tenant, api, world)


async def test_a_signed_call_comes_in_once(shop: Shop) -> None:
    url = await shop.hook(auth="hmac", credential=await credential(shop.api, "hmac", secret=SECRET))
    headers = signed(BODY).headers()
    first, again = [await shop.world.post(url, content=BODY, headers=headers) for _ in range(2)]
    assert first.status_code == 202, first.text
    assert (again.status_code, again.json()["code"]) == (401, "WEBHOOK_REFUSED")
    assert await shop.started() == 1


async def test_of_ten_replays_at_once_one_comes_in(shop: Shop) -> None:
    url = await shop.hook(auth="hmac", credential=await credential(shop.api, "hmac", secret=SECRET))
    headers = signed(BODY).headers()
    answers = await asyncio.gather(*(shop.world.post(url, content=BODY, headers=headers) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [202, *[401] * 9]
    assert await shop.started() == 1


async def test_a_signature_is_spent_for_all_webhooks_of_its_credential(shop: Shop) -> None:
    name = await credential(shop.api, "hmac", secret=SECRET)
    urls = [await shop.hook(auth="hmac", credential=name) for _ in range(2)]
    headers = signed(BODY).headers()
    assert [(await shop.world.post(url, content=BODY, headers=headers)).status_code for url in urls] == [202, 401]


def _without(name: str) -> dict[str, str]:
    return {key: value for key, value in signed(BODY).headers().items() if key != name}


def _forged() -> dict[str, tuple[bytes, dict[str, str]]]:
    good = signed(BODY)
    headers = good.headers()
    moved = replace(good, at=good.at - 1).headers()
    dotted = signed(BODY, message_id="msg.1")
    return {
        "unsigned": (BODY, {}),
        **{f"without {name}": (BODY, _without(name)) for name in ("webhook-id", "webhook-timestamp")},
        "without webhook-signature": (BODY, _without("webhook-signature")),
        "another body": (BODY + b" ", headers),
        "another secret": (BODY, signed(BODY, secret="somebody-else").headers()),
        "no secret": (BODY, signed(BODY, secret="").headers()),
        "another id": (BODY, {**headers, "webhook-id": "msg_other"}),
        "another time": (BODY, {**headers, "webhook-timestamp": moved["webhook-timestamp"]}),
        "late": (BODY, signed(BODY, age_s=302).headers()),
        "ahead": (BODY, signed(BODY, age_s=-310).headers()),
        "a time that is no number": (BODY, {**headers, "webhook-timestamp": "soon"}),
        "a time with a sign": (BODY, {**headers, "webhook-timestamp": f"+{good.at}"}),
        "a time with zeros": (BODY, {**headers, "webhook-timestamp": f"0{good.at}"}),
        "an endless time": (BODY, {**headers, "webhook-timestamp": "9" * 400}),
        "an id with a dot": (BODY, dotted.headers()),
        "an endless id": (BODY, signed(BODY, message_id="m" * 256).headers()),
        "another version": (BODY, {**headers, "webhook-signature": headers["webhook-signature"].replace("v1,", "v0,")}),
        "an empty signature": (BODY, {**headers, "webhook-signature": "v1,"}),
        "many signatures": (BODY, {**headers, "webhook-signature": "v1,x " * 10 + headers["webhook-signature"]}),
        "of another scheme": (BODY, {"x-hub-signature-256": "sha256=" + "0" * 64}),
        "a token in its place": (BODY, {"authorization": f"Bearer {SECRET}"}),
    }


@pytest.mark.parametrize("kind", _forged())
async def test_a_forged_call_starts_nothing(shop: Shop, kind: str) -> None:
    url = await shop.hook(auth="hmac", credential=await credential(shop.api, "hmac", secret=SECRET))
    body, headers = _forged()[kind]
    answer = await shop.world.post(url, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "WEBHOOK_REFUSED")
    assert SECRET not in answer.text
    assert await shop.started() == 0


async def test_a_signature_may_stand_beside_older_ones(shop: Shop) -> None:
    url = await shop.hook(auth="hmac", credential=await credential(shop.api, "hmac", secret=SECRET))
    headers = signed(BODY).headers()
    both = {**headers, "webhook-signature": f"v1,b2xk {headers['webhook-signature']}"}
    assert (await shop.world.post(url, content=BODY, headers=both)).status_code == 202


async def test_the_signature_of_a_compressed_body_is_over_what_came(shop: Shop) -> None:
    import gzip

    url = await shop.hook(auth="hmac", credential=await credential(shop.api, "hmac", secret=SECRET))
    sent = gzip.compress(BODY)
    good = signed(sent).headers(**{"content-encoding": "gzip"})
    wrong = signed(BODY).headers(**{"content-encoding": "gzip"})
    assert (await shop.world.post(url, content=sent, headers=wrong)).status_code == 401
    assert (await shop.world.post(url, content=sent, headers=good)).status_code == 202


KEYS: dict[str, tuple[str, dict[str, Any], list[dict[str, Any]]]] = {
    "bearer": (
        "bearer",
        {"token": TOKEN},
        [
            {},
            {"headers": {"authorization": "Bearer x"}},
            {"headers": {"authorization": TOKEN}},
            {"headers": {"authorization": f"Basic {TOKEN}"}},
            {"headers": {"authorization": f"Bearer {TOKEN}x"}},
            {"headers": {"authorization": "Bearer"}},
            {"headers": [("authorization", f"Bearer {TOKEN}"), ("authorization", "Bearer x")]},
            {"headers": {"x-api-key": TOKEN}},
            {"params": {"token": TOKEN}},
        ],
    ),
    "api_key": (
        "api_key",
        {"value": TOKEN, "header": "X-Shop", "prefix": "Key "},
        [{}, {"headers": {"x-shop": TOKEN}}, {"headers": {"x-api-key": f"Key {TOKEN}"}}, {"headers": {"x-shop": ""}}],
    ),
    "a key in the query": (
        "api_key",
        {"value": TOKEN, "query": "key"},
        [{}, {"params": {"key": "x"}}, {"params": {"key": [TOKEN, "x"]}}, {"headers": {"x-api-key": TOKEN}}],
    ),
}
GOOD: dict[str, dict[str, Any]] = {
    "bearer": {"headers": {"authorization": f"bearer {TOKEN}"}},
    "api_key": {"headers": {"x-shop": f"Key {TOKEN}"}},
    "a key in the query": {"params": {"key": TOKEN, "a": "1"}},
}


@pytest.mark.parametrize("kind", KEYS)
async def test_keys_and_tokens_let_in_whom_they_are_of(shop: Shop, kind: str) -> None:
    auth, fields, wrong = KEYS[kind]
    url = await shop.hook(auth=auth, credential=await credential(shop.api, auth, **fields))
    for attempt in wrong:
        answer = await shop.world.post(url, content=b"{}", **attempt)
        assert (answer.status_code, answer.json()["code"]) == (401, "WEBHOOK_REFUSED"), attempt
    assert await shop.started() == 0
    answer = await shop.world.post(url, content=b"{}", **GOOD[kind])
    assert answer.status_code == 202, answer.text
    execution = (await shop.api.get(f"/executions/{answer.json()['execution_id']}")).json()
    assert TOKEN not in str(execution), "what proves the caller is no part of the input"


async def test_without_a_credential_that_fits_nobody_comes_in(shop: Shop) -> None:
    bearer = await credential(shop.api, "bearer", token=TOKEN)
    headers = {"authorization": f"Bearer {TOKEN}", "x-api-key": TOKEN}
    for auth, name in (("api_key", bearer), ("hmac", bearer), ("bearer", f"nobody-{uuid4().hex[:6]}")):
        url = await shop.hook(auth=auth, credential=name)
        answer = await shop.world.post(url, content=BODY, headers=headers | signed(BODY, secret=TOKEN).headers())
        assert answer.status_code == 401
        assert name not in answer.text
        assert await shop.started() == 0


async def test_another_tenants_credential_of_that_name_proves_nothing(shop: Shop) -> None:
    name = await credential(shop.api, "bearer", token=TOKEN)
    other = mint_tenant(new_id())
    await Tenants(shop.resources.database).ensure(other, f"other {other}")
    _, secret = await ApiKeys(shop.resources.database).create(other, "k", scopes=("*",))
    path = fresh_path()
    async with caller(shop.app, secret) as theirs:
        await publish(theirs, hooked(path, auth="bearer", credential=name))
    answer = await shop.world.post(url_of(path, other), headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 401


async def test_a_signed_call_is_refused_while_its_nonce_cannot_be_kept(shop: Shop, engine_servers: Settings) -> None:
    assert engine_servers.database.url is not None
    url = await shop.hook(auth="hmac", credential=await credential(shop.api, "hmac", secret=SECRET))
    away = await Database.open(engine_servers.database.url.get_secret_value())
    broken = replace(shop.resources, database=away)
    async with caller(create_app(shop.resources.settings, broken), None) as world:
        warm = await world.post(url, content=BODY, headers=signed(BODY).headers())
        await away.close()
        answer = await world.post(url, content=BODY, headers=signed(BODY).headers())
    assert (warm.status_code, answer.status_code) == (202, 503)
    assert await shop.started() == 1


RULES: dict[str, Any] = {
    "x-kind": {"one_of": ["paid", "refunded"]},
    "x-shop": "main",
    "x-number": {"pattern": "[0-9]+", "required": False},
}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-kind": "paid", "x-shop": "main"}, 202),
        ({"x-kind": "refunded", "x-shop": "main", "x-number": "17"}, 202),
        ({"x-kind": "lost", "x-shop": "main"}, 403),
        ({"x-kind": "paid"}, 403),
        ({"x-kind": "paid", "x-shop": "main", "x-number": "17a"}, 403),
        ({"x-kind": "paid", "x-shop": "Main"}, 403),
    ],
)
async def test_headers_keep_the_rules(shop: Shop, headers: dict[str, str], status: int) -> None:
    url = await shop.hook(headers=RULES)
    answer = await shop.world.post(url, content=b"", headers=headers)
    assert answer.status_code == status
    assert await shop.started() == (status == 202)


@pytest.mark.parametrize(
    "path",
    ["", "x", "../t", "%2e%2e/t", "t//x", "t%00x", "t/x?", "T", "é", "x" * 5000],
)
async def test_strange_addresses_are_not_there(shop: Shop, path: str) -> None:
    for whose in (str(shop.tenant), "nobody", "%00", "x" * 3000, "'; --"):
        answer = await shop.world.post(f"http://api/hooks/{whose}/{path}")
        assert answer.status_code == 404, answer.text


REFUSED_HEADERS = [
    "Set-Cookie",
    "Connection",
    "Transfer-Encoding",
    "Content-Length",
    "Content-Security-Policy",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "Access-Control-Allow-Origin",
    "Strict-Transport-Security",
    "Clear-Site-Data",
    "Upgrade",
    "Proxy-Authenticate",
    "X-Bad Name",
    "",
]


@pytest.mark.parametrize("name", REFUSED_HEADERS)
async def test_a_workflow_may_not_set_such_a_header(name: str) -> None:
    with pytest.raises(HookFailure):
        shaped({"headers": {name: "x"}}, new_id())


@pytest.mark.parametrize(
    "said",
    [
        {"status": 99},
        {"status": 101},
        {"status": 600},
        {"status": "200"},
        {"status": True},
        {"headers": []},
        {"headers": {"x-a": "b\r\nset-cookie: c=d"}},
        {"headers": {"x-a": "b\nc"}},
        {"headers": {"x-a": None}},
        {"headers": {"x-a": "\u20ac"}},
        {"headers": {f"x-{number}": "a" for number in range(51)}},
        {"body": {"base64": "!"}},
    ],
)
async def test_an_answer_of_the_wrong_kind_is_not_sent(said: dict[str, Any]) -> None:
    with pytest.raises(HookFailure):
        shaped(said, new_id())


async def test_a_page_of_a_workflow_has_no_origin_and_no_guessed_type() -> None:
    answer = shaped({"body": "<script>1</script>", "headers": {"Content-Type": "text/html"}}, new_id())
    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"
