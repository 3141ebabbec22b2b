"""Where each kind of credential goes in a request, and what of it is told to the redaction."""

from __future__ import annotations

import base64
from typing import Any, cast

import pytest

from engine.errors import INVALID_CONFIG, NodeError
from engine.nodes.context import Credential
from engine.nodes.outbound.signing import Secrets, secrets_of

PAIR = base64.b64encode(b"ada:s3cret").decode()


@pytest.mark.parametrize(
    ("credential", "headers", "query", "values"),
    [
        (None, [], [], []),
        ({"type": "bearer", "token": "tok"}, [("authorization", "Bearer tok")], [], ["tok"]),
        (
            {"type": "basic", "username": "ada", "password": "s3cret"},
            [("authorization", f"Basic {PAIR}")],
            [],
            ["s3cret", PAIR],
        ),
        ({"type": "api_key", "value": "key"}, [("x-api-key", "key")], [], ["key"]),
        ({"type": "api_key", "value": "key", "header": "", "query": ""}, [("x-api-key", "key")], [], ["key"]),
        (
            {"type": "api_key", "value": "key", "header": "authorization", "prefix": "Token "},
            [("authorization", "Token key")],
            [],
            ["Token key"],
        ),
        ({"type": "api_key", "value": "key", "query": "k", "header": "h"}, [], [("k", "key")], ["key"]),
    ],
)
def test_a_credential_goes_to_its_place(
    credential: dict[str, Any] | None, headers: list[Any], query: list[Any], values: list[str]
) -> None:
    secrets = secrets_of(cast("Credential | None", credential))
    assert (secrets.headers, secrets.query) == (headers, query)
    # What is redacted must at least be in what is sent, and hold the secret itself.
    assert [value.removeprefix("Token ") for value in secrets.values] == [one.removeprefix("Token ") for one in values]


def test_no_credential_shares_its_places_with_another() -> None:
    assert secrets_of(None).headers is not secrets_of(None).headers
    assert Secrets() == secrets_of(None)


@pytest.mark.parametrize(
    "credential",
    [
        {"type": "bearer"},
        {"type": "bearer", "token": ""},
        {"type": "bearer", "token": 7},
        {"type": "basic", "username": "ada", "password": None},
        {"type": "basic", "password": "s3cret"},
        {"type": "api_key"},
        {"type": "hmac", "secret": "s3cret"},
        {"type": "connection", "url": "postgresql://u:s3cret@db/x"},
    ],
)
def test_a_credential_that_does_not_fit_is_refused_without_its_secret(credential: dict[str, Any]) -> None:
    with pytest.raises(NodeError) as caught:
        secrets_of(cast("Credential", credential))
    assert caught.value.code == INVALID_CONFIG
    assert "s3cret" not in str(caught.value)
    assert str(credential["type"]) in str(caught.value)
