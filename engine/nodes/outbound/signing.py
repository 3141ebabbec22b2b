"""Where a credential goes in a request."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from engine.errors import INVALID_CONFIG, NodeError
from engine.nodes.context import Credential


@dataclass(frozen=True, slots=True)
class Secrets:
    """Headers and query parameters that carry a credential; `values` are its secret texts, for redaction."""

    headers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    query: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    values: list[str] = field(default_factory=list[str])


def secrets_of(credential: Credential | None) -> Secrets:
    """The credential as HTTP carries it: bearer, basic, or an API key in a header (`x-api-key`) or the query.

    Raises: NodeError INVALID_CONFIG if its type does not fit or a field is missing; never with a secret in it.
    """
    if credential is None:
        return Secrets()
    kind = credential["type"]
    if kind == "bearer":
        token = _field(credential, "token")
        return Secrets([("authorization", f"Bearer {token}")], values=[token])
    if kind == "basic":
        username, password = _field(credential, "username"), _field(credential, "password")
        pair = base64.b64encode(f"{username}:{password}".encode()).decode("ascii")
        return Secrets([("authorization", f"Basic {pair}")], values=[password, pair])
    if kind == "api_key":
        return _api_key(credential, _field(credential, "value"))
    raise NodeError(
        f"a credential of type {kind} cannot sign an HTTP request: use api_key, bearer or basic", code=INVALID_CONFIG
    )


def _api_key(credential: Credential, value: str) -> Secrets:
    query = credential.get("query")
    if query:
        return Secrets(query=[(query, value)], values=[value])
    header = credential.get("header") or "x-api-key"
    return Secrets([(header, credential.get("prefix", "") + value)], values=[value])


def _field(credential: Credential, name: str) -> str:
    value = credential.get(name)
    if not isinstance(value, str) or not value:
        raise NodeError(f"the credential of type {credential['type']} has no {name}", code=INVALID_CONFIG)
    return value
