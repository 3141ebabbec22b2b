"""Webhooks against a receiver on loopback that checks the signature as its own code would."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from engine.errors import NodeError
from engine.nodes.base import Credential, NodeResult
from engine.nodes.outbound.addresses import HttpPolicy
from engine.nodes.outbound.client import HttpClient
from engine.nodes.outbound.webhooks import signature_of, signing_key
from tests.engine.nodes.integration.loopback import Call, answer, serving
from tests.engine.nodes.running import codes, node_type, run

KEY = b"0123456789abcdef0123456789abcdef"
SIGNED: Credential = {"type": "hmac", "secret": "whsec_" + base64.b64encode(KEY).decode()}


@pytest_asyncio.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient(HttpPolicy(allowed_hosts=["127.0.0.1"])) as opened:
        yield opened


async def send(client: HttpClient, params: dict[str, Any], **context: Any) -> NodeResult:
    return await run("webhook_send", params, http=client, **{"idempotency_key": "exec:tell:0:0", **context})


def is_genuine(call: Call, key: bytes) -> bool:
    """What a receiver does."""
    message_id, sent_at = call.headers["webhook-id"], call.headers["webhook-timestamp"]
    if abs(time.time() - int(sent_at)) > 300:
        return False
    expected = hmac.new(key, f"{message_id}.{sent_at}.".encode() + call.body, hashlib.sha256).digest()
    version, _, given = call.headers["webhook-signature"].partition(",")
    return version == "v1" and hmac.compare_digest(base64.b64decode(given), expected)


async def taken(call: Call) -> bytes:
    return answer(202)


async def test_delivery_is_signed_over_what_is_sent(client: HttpClient) -> None:
    body = {"type": "order.shipped", "data": {"name": "grüße", "n": 1.5}}
    async with serving(taken) as server:
        output = (await send(client, {"url": server.url, "body": body}, credential=SIGNED)).output
    (call,) = server.calls
    assert is_genuine(call, KEY)
    assert not is_genuine(call, b"another key of that receiver....")
    assert call.body == '{"type":"order.shipped","data":{"name":"grüße","n":1.5}}'.encode()
    assert call.headers["content-type"] == "application/json"
    assert output == {"status": 202, "delivery_id": call.headers["webhook-id"]}


def test_signature_of_the_published_example() -> None:
    # Vector of the reference library of Standard Webhooks.
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = signature_of(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_plain_secret_is_the_key_itself(client: HttpClient) -> None:
    async with serving(taken) as server:
        await send(client, {"url": server.url}, credential={"type": "hmac", "secret": "plain-secret"})
    assert is_genuine(server.calls[0], b"plain-secret")
    assert server.calls[0].body == b"null"


async def test_id_is_the_executions_and_stays_over_attempts(client: HttpClient) -> None:
    async with serving(taken) as server:
        for attempt in (1, 2):
            await send(client, {"url": server.url}, credential=SIGNED, attempt=attempt)
        await send(client, {"url": server.url}, credential=SIGNED, idempotency_key="exec:tell:1:0")
    first, second, other = [call.headers["webhook-id"] for call in server.calls]
    assert first == second != other
    assert "." not in first


async def test_without_a_credential_nothing_is_signed(client: HttpClient) -> None:
    async with serving(taken) as server:
        await send(client, {"url": server.url, "headers": {"X-Shop": "7", "X-None": None}})
    (call,) = server.calls
    assert "webhook-signature" not in call.headers
    assert call.headers["webhook-id"].startswith("msg_")
    assert (call.headers["x-shop"], "x-none" in call.headers) == ("7", False)


async def test_bearer_credential_authenticates(client: HttpClient) -> None:
    async with serving(taken) as server:
        await send(client, {"url": server.url}, credential={"type": "bearer", "token": "t0ken"})
    assert server.calls[0].headers["authorization"] == "Bearer t0ken"


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [(500, "EXTERNAL_ERROR", True), (503, "EXTERNAL_ERROR", True), (429, "RATE_LIMITED", True),
     (404, "EXTERNAL_ERROR", False), (410, "EXTERNAL_ERROR", False), (302, "EXTERNAL_ERROR", False)],
)  # fmt: skip
async def test_status_says_whether_another_attempt_helps(
    client: HttpClient, status: int, code: str, retryable: bool
) -> None:
    async def refuse(call: Call) -> bytes:
        return answer(status, b"no", retry_after="7", location="http://127.0.0.1:1/")

    async with serving(refuse) as server:
        with pytest.raises(NodeError) as caught:
            await send(client, {"url": server.url}, credential=SIGNED)
    error = caught.value
    assert (error.code, error.retryable, len(server.calls)) == (code, retryable, 1)
    assert error.retry_after_s == (7 if retryable else None)
    assert error.details["delivery_id"] == server.calls[0].headers["webhook-id"]


async def test_secret_stands_in_no_error(client: HttpClient) -> None:
    async def echo(call: Call) -> bytes:
        text = f"{call.headers['webhook-signature']} canary-secret-7"
        return answer(400, text.encode())

    async with serving(echo) as server:
        with pytest.raises(NodeError) as caught:
            await send(client, {"url": server.url}, credential={"type": "hmac", "secret": "canary-secret-7"})
    shown = str(caught.value.as_dict())
    assert "canary" not in shown
    assert server.calls[0].headers["webhook-signature"] not in shown


async def test_lost_answer_is_worth_another_attempt_unless_it_must_not_be(client: HttpClient) -> None:
    async def drop(call: Call) -> None:
        call.writer.close()

    async with serving(drop) as server:
        for idempotent, expected in ((True, ("EXTERNAL_ERROR", True)), (False, ("OUTCOME_UNKNOWN", False))):
            with pytest.raises(NodeError) as caught:
                await send(client, {"url": server.url, "idempotent": idempotent}, credential=SIGNED)
            assert (caught.value.code, caught.value.retryable) == expected


async def test_credential_is_bound_to_its_hosts(client: HttpClient) -> None:
    async with serving(taken) as server:
        with pytest.raises(NodeError) as caught:
            await send(client, {"url": server.url}, credential={**SIGNED, "allowed_hosts": ["partner.example"]})
    assert caught.value.code == "ACCESS_DENIED"
    assert server.calls == []


async def test_secret_that_is_no_base64_is_not_shown(client: HttpClient) -> None:
    with pytest.raises(NodeError) as caught:
        await send(client, {"url": "http://127.0.0.1:9"}, credential={"type": "hmac", "secret": "whsec_canary!!"})
    assert caught.value.code == "INVALID_CONFIG"
    assert "canary" not in str(caught.value.as_dict())


async def test_internal_addresses_are_out_of_reach() -> None:
    async with HttpClient(HttpPolicy()) as guarded:
        with pytest.raises(NodeError) as caught:
            await send(guarded, {"url": "http://127.0.0.1:9/"}, credential=SIGNED)
    assert caught.value.code == "BLOCKED_ADDRESS"


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({}, "params.url"),
        ({"url": "https://x.example", "method": "GET"}, "params.method"),
        ({"url": "https://x.example", "headers": {"Webhook-Id": "mine"}}, "params.headers"),
        ({"url": "https://x.example", "headers": {"webhook-signature": "{{ input.s }}"}}, "params.headers"),
        ({"url": "https://x.example", "payload": 1}, "params.payload"),
    ],
)
def test_mistake_is_an_issue_of_the_document(params: dict[str, Any], path: str) -> None:
    assert path in [found for _, found in codes("webhook_send", params)]


def test_delivery_may_be_repeated_unless_it_says_no() -> None:
    kind = node_type("webhook_send")
    assert kind.idempotent({"url": "u"})
    assert not kind.idempotent({"url": "u", "idempotent": False})
