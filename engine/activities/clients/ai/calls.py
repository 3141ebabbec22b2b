"""What all providers do around a call: the secret and where it may go, the deadline, and what a bad answer means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

from engine.errors import (
    ACCESS_DENIED,
    CONTENT_FILTERED,
    EXTERNAL_ERROR,
    INVALID_CONFIG,
    RATE_LIMITED,
    TIMEOUT,
    NodeError,
)
from engine.nodes.generation.port import ModelConnection
from engine.nodes.outbound.addresses import host_matches, normal_host
from engine.nodes.outbound.answers import retry_after_s
from engine.nodes.outbound.redaction import Redaction
from engine.nodes.outbound.targets import parse_url

_SHOWN_CHARS = 500
_RETRYABLE = (408, 409, 425)
_FILTERED = ("content_filter", "content_policy_violation", "moderation_blocked")
_REFUSED_KEY = ("API_KEY_INVALID", "invalid_api_key")
_SPENT = ("insufficient_quota", "billing_hard_limit_reached")


def base_url_of(connection: ModelConnection, usual: str) -> str:
    """Where the provider stands, without a slash at the end.

    Raises: NodeError INVALID_CONFIG for what is no http(s) URL, ACCESS_DENIED if the credential is bound to other
    hosts.
    """
    url = parse_url(connection.base_url or usual)
    bound = None if connection.credential is None else connection.credential.get("allowed_hosts")
    if bound is not None and not host_matches(url.host, [normal_host(host) for host in cast("list[str]", bound)]):
        message = f"the credential is bound to other hosts than {url.host}"
        raise NodeError(message, code=ACCESS_DENIED, details={"host": url.host})
    return str(url).rstrip("/")


def key_of(connection: ModelConnection) -> str | None:
    """The API key: the token of a bearer credential, the value of an api_key one; None without a credential.

    Raises: NodeError INVALID_CONFIG for another type.
    """
    credential = connection.credential
    if credential is None:
        return None
    kind = credential.get("type")
    key = credential.get({"bearer": "token", "api_key": "value"}.get(str(kind), ""))
    if not isinstance(key, str) or not key:
        message = f"a credential of type {kind} signs no call of an AI model: use bearer or api_key"
        raise NodeError(message, code=INVALID_CONFIG)
    if not key.isascii() or not key.isprintable():
        raise NodeError("the key of the credential holds characters that no header carries", code=INVALID_CONFIG)
    return key


def required_key(connection: ModelConnection) -> str:
    """Raises: NodeError ACCESS_DENIED if there is no credential."""
    key = key_of(connection)
    if key is None:
        message = f"the model {connection.model} of {connection.provider} needs a credential of type bearer or api_key"
        raise NodeError(message, code=ACCESS_DENIED)
    return key


@asynccontextmanager
async def one_call(connection: ModelConnection, timeout_s: float) -> AsyncGenerator[None]:
    """Bounds a call as a whole, and takes the secret out of every error that leaves it.

    Raises: NodeError TIMEOUT.
    """
    secrets = [value for name, value in (connection.credential or {}).items() if name in ("token", "value", "password")]
    redaction = Redaction([value for value in secrets if isinstance(value, str)])
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError:
        message = f"{connection.provider} ({connection.model}) did not answer within {timeout_s:g} s"
        raise NodeError(message, code=TIMEOUT, details=_who(connection), retryable=True) from None
    except NodeError as error:
        raise NodeError(
            redaction.text(error.message),
            code=error.code,
            details=redaction.data(error.details),
            retryable=error.retryable,
            retry_after_s=error.retry_after_s,
        ) from None


def refusal(
    connection: ModelConnection,
    status: int,
    message: str,
    *,
    headers: Mapping[str, str] | None = None,
    provider_code: str = "",
    wait_s: float | None = None,
) -> NodeError:
    """The error of an answer whose status is no success. `wait_s` is a time to wait that stands in the body.

    429 is worth another attempt after what Retry-After says, unless the account has run dry; 408, 409, 425 and 5xx are
    worth one; all else would be refused again.
    """
    code, retryable = _meaning(status, provider_code)
    details = {**_who(connection), "status": status}
    if provider_code:
        details["provider_code"] = provider_code[:100]
    asked_s = _wait_s(headers or {})
    return NodeError(
        f"{connection.provider} ({connection.model}) answered {status}: {message[:_SHOWN_CHARS] or 'no reason given'}",
        code=code,
        details=details,
        retryable=retryable,
        retry_after_s=(asked_s if asked_s is not None else wait_s) if retryable else None,
    )


def _meaning(status: int, provider_code: str) -> tuple[str, bool]:
    if status in (401, 403):
        return ACCESS_DENIED, False
    if status == 429:
        return RATE_LIMITED, provider_code not in _SPENT
    if status in _RETRYABLE or status >= 500:
        return EXTERNAL_ERROR, True
    if provider_code in _REFUSED_KEY:
        return ACCESS_DENIED, False
    if provider_code in _FILTERED:
        return CONTENT_FILTERED, False
    return (INVALID_CONFIG if 400 <= status < 500 else EXTERNAL_ERROR), False


def _wait_s(headers: Mapping[str, str]) -> float | None:
    millis = headers.get("retry-after-ms", "")
    if millis.isascii() and millis.isdecimal():
        return retry_after_s(str(-(-int(millis[:12]) // 1000)), datetime.now(UTC))
    return retry_after_s(headers.get("retry-after", ""), datetime.now(UTC))


def unreadable(connection: ModelConnection, why: str) -> NodeError:
    """The error of an answer that is not what the provider's protocol says; another attempt may bring a better one."""
    message = f"{connection.provider} ({connection.model}) sent an answer that cannot be read: {why[:_SHOWN_CHARS]}"
    return NodeError(message, code=EXTERNAL_ERROR, details=_who(connection), retryable=True)


def filtered(connection: ModelConnection, why: str) -> NodeError:
    """The error of a provider that withholds its answer for what it says."""
    message = f"{connection.provider} ({connection.model}) withheld the answer: {why[:_SHOWN_CHARS]}"
    return NodeError(message, code=CONTENT_FILTERED, details=_who(connection))


def unable(connection: ModelConnection, what: str) -> NodeError:
    """The error of a provider that has no such thing."""
    message = f"the provider {connection.provider} makes no {what}: use a model of another one"
    return NodeError(message, code=INVALID_CONFIG, details=_who(connection))


def _who(connection: ModelConnection) -> dict[str, Any]:
    return {"provider": connection.provider, "model": connection.model}
