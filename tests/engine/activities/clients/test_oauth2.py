"""Access tokens of OAuth 2.0 clients, from a real server over the guarded HTTP client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import pytest_asyncio

from engine.activities.clients.oauth2 import OAUTH2, AccessTokens
from engine.errors import ACCESS_DENIED, BLOCKED_ADDRESS, EXTERNAL_ERROR, NodeError
from engine.nodes.context import Credential
from engine.nodes.outbound.addresses import HttpPolicy
from engine.nodes.outbound.client import HttpClient
from tests.servers.token_server import TokenServer, running_token_server


@pytest_asyncio.fixture
async def server() -> AsyncIterator[TokenServer]:
    async with running_token_server() as running:
        yield running


@pytest_asyncio.fixture
async def tokens() -> AsyncIterator[AccessTokens]:
    async with HttpClient(HttpPolicy(allowed_hosts=["127.0.0.0/8"])) as http:
        yield AccessTokens(http)


def client(server: TokenServer, **more: Any) -> Credential:
    fields = {
        "type": OAUTH2,
        "name": "crm",
        "version": "c:1",
        "token_url": server.token_url,
        "client_id": server.client_id,
        "client_secret": server.client_secret,
        "allowed_hosts": ["api.example"],
        "trusted": False,
    }
    return cast("Credential", {**fields, **more})


async def test_client_becomes_a_bearer_token_bound_as_it_was(server: TokenServer, tokens: AccessTokens) -> None:
    given = client(server, scopes=["read", "write"], audience="https://api.example")
    bearer = await tokens.bearer("t", given)
    assert dict(bearer) == {
        "type": "bearer", "token": "token-1", "name": "crm", "version": "c:1", "allowed_hosts": ["api.example"],
        "trusted": False,
    }  # fmt: skip
    wanted = {"grant_type": "client_credentials", "scope": "read write", "audience": "https://api.example"}
    assert server.forms == [wanted]


async def test_token_is_fetched_once_for_all_who_ask_at_once(server: TokenServer, tokens: AccessTokens) -> None:
    found = await asyncio.gather(*(tokens.bearer("t", client(server)) for _ in range(20)))
    assert {one.get("token") for one in found} == {"token-1"}
    assert len(server.forms) == 1


async def test_tenants_and_versions_have_tokens_of_their_own(server: TokenServer, tokens: AccessTokens) -> None:
    for tenant, version in (("t", "c:1"), ("other", "c:1"), ("t", "c:2"), ("t", "c:1")):
        await tokens.bearer(tenant, client(server, version=version))
    assert len(server.forms) == 3


@pytest.mark.parametrize(("expires_in", "fetches"), [(0, 2), (-5, 2), (60, 1), (None, 1), ("3600", 1), ("soon", 1)])
async def test_token_is_kept_while_it_lives(tokens: AccessTokens, expires_in: Any, fetches: int) -> None:
    async with running_token_server(expires_in=expires_in) as server:
        for _ in range(2):
            await tokens.bearer("t", client(server))
        assert len(server.forms) == fetches


async def test_only_a_token_that_was_used_before_is_forgotten(server: TokenServer, tokens: AccessTokens) -> None:
    fresh = await tokens.bearer("t", client(server))
    assert not tokens.forget("t", fresh), "it has just been fetched: another would be refused too"
    used = await tokens.bearer("t", client(server))
    assert tokens.forget("t", used)
    assert (await tokens.bearer("t", client(server))).get("token") == "token-2"
    assert not tokens.forget("t", used), "somebody has renewed it already"


async def test_kept_token_is_not_readable_in_memory(server: TokenServer, tokens: AccessTokens) -> None:
    await tokens.bearer("t", client(server))
    kept = next(iter(tokens._kept.values()))  # pyright: ignore[reportPrivateUsage]  # what memory holds is private
    assert b"token-1" not in kept.sealed
    assert "token" not in repr(kept)


async def test_refused_client_is_denied_without_its_secret(server: TokenServer, tokens: AccessTokens) -> None:
    with pytest.raises(NodeError) as caught:
        await tokens.bearer("t", client(server, client_secret="canary-wrong-secret"))
    error = caught.value
    assert (error.code, error.retryable, error.details["token_status"]) == (ACCESS_DENIED, False, 401)
    shown = repr(error.as_dict())
    assert "canary" not in shown
    assert "dXMlMjAlMjYlMjBjbzpjYW5hcnkt" not in shown, "its base64 neither"


@pytest.mark.parametrize(
    ("answer", "retryable"),
    [
        ((503, b"later"), True),
        ((429, b""), True),
        ((200, b"no json"), False),
        ((200, b"[]"), False),
        ((200, b'{"access_token": ""}'), False),
        ((200, b'{"access_token": 5}'), False),
        ((200, b'{"access_token": "a\\nb"}'), False),
        ((200, b'{"access_token": "x", "token_type": "mac"}'), False),
    ],
)
async def test_answer_that_is_no_token_is_an_error(
    server: TokenServer, tokens: AccessTokens, answer: tuple[int, bytes], retryable: bool
) -> None:
    server.answer = answer
    with pytest.raises(NodeError) as caught:
        await tokens.bearer("t", client(server))
    assert (caught.value.code, caught.value.retryable) == (EXTERNAL_ERROR, retryable)
    server.answer = None
    assert (await tokens.bearer("t", client(server))).get("token") == "token-2"


async def test_token_server_on_an_internal_address_is_out_of_reach(server: TokenServer) -> None:
    async with HttpClient(HttpPolicy()) as http:
        with pytest.raises(NodeError) as caught:
            await AccessTokens(http).bearer("t", client(server))
    assert caught.value.code == BLOCKED_ADDRESS
    assert server.forms == []
