"""What a node was given, for the record: its resolved parameters, within bounds and without secrets."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, cast

import orjson

from engine.activities.clients.objects import Values
from engine.activities.program import NodeProgram, filled
from engine.dag.values import Value, inline
from engine.errors import StructForgeError
from engine.nodes.outbound.redaction import MASK, Redaction
from models.tenancy import TenantId

MAX_INPUT_BYTES = 256 * 1024
OMITTED = "$omitted_bytes"
# Under these names people write secrets into documents; a credential never comes this way.
_SECRET_NAMES = frozenset(
    [
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-api-key",
        "api_key",
        "apikey",
        "password",
        "passwd",
        "secret",
        "client_secret",
        "token",
        "access_token",
        "refresh_token",
        "private_key",
    ]
)
# How they stand in JSON text, to be asked for before it is taken apart.
_NAMED = tuple(f'"{name}":'.encode() for name in sorted(_SECRET_NAMES))
_log = logging.getLogger(__name__)


async def recorded_input(
    values: Values, tenant: TenantId, program: NodeProgram, rendered: Any, secrets: Iterable[str], inline_limit: int
) -> Value | None:
    """The parameters of a node as a Value; larger ones than `MAX_INPUT_BYTES` as `{"$omitted_bytes": n}`.

    None if they cannot be stored: that a node can be looked at is worth no failure.
    """
    try:
        data = filled(program, rendered)
        raw = orjson.dumps(data)
        if len(raw) > MAX_INPUT_BYTES:
            return inline({OMITTED: len(raw)})
        redaction = Redaction(secrets)
        if _names_secrets(raw) or redaction.is_in(raw):
            # Parsed again, because parameters share parts with outputs that others read: only a copy may be masked.
            data = _without_named(redaction.data(orjson.loads(raw)))
            return await values.store(tenant, data, inline_limit)
        return inline(data, len(raw)) if len(raw) <= inline_limit else await values.store(tenant, data, inline_limit)
    except (StructForgeError, TypeError, ValueError, RecursionError) as error:
        _log.warning("the input of %s is not recorded: %s", program.node.path, error)
        return None


def _names_secrets(raw: bytes) -> bool:
    lowered = raw.lower()
    return any(name in lowered for name in _NAMED)


def _without_named(value: Any) -> Any:
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {
            name: MASK if name.lower() in _SECRET_NAMES and isinstance(member, str) else _without_named(member)
            for name, member in members.items()
        }
    if isinstance(value, list):
        return [_without_named(item) for item in cast("list[Any]", value)]
    return value
