"""A node that was given a credential: its secrets stay out of what the node gives, and an expired token is renewed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from engine.activities.clients.credentials import CredentialSource
from engine.activities.program import NodeProgram
from engine.errors import NodeError
from engine.nodes.base import NodeContext, NodeResult
from engine.nodes.context import Credential
from engine.nodes.outbound.redaction import Redaction
from engine.nodes.plugins.guard import secrets_in
from models.tenancy import TenantId

SHORTEST_IN_OUTPUTS = 12  # a shorter secret may be a word of somebody's data, which must not be mangled


async def execute(
    program: NodeProgram,
    params: Any,
    context: NodeContext,
    *,
    tenant: TenantId,
    credentials: CredentialSource,
    learn: Callable[[list[str]], None],
) -> NodeResult:
    """Run the node. No secret of its credential is in the result or the error, should the other side echo it.

    `learn` is told the secrets again if the credential's token was renewed: once, when the receiver answers 401.
    Raises: NodeError.
    """
    credential = context.credential
    if credential is None:
        return await program.type.execute(params, context)
    secrets = secrets_in(credential)
    try:
        result = await _attempt(program, params, context)
    except NodeError as error:
        renewed = await credentials.renewed(tenant, credential, error)
        if renewed is None:
            raise Redaction(secrets).error(error) from None
        result = await _again(program, params, context, renewed, secrets, learn)
    return _without(result, secrets)


async def _again(
    program: NodeProgram,
    params: Any,
    context: NodeContext,
    renewed: Credential,
    secrets: list[str],
    learn: Callable[[list[str]], None],
) -> NodeResult:
    """Nothing was done by a call that was answered 401, so that even what may run once only may be sent again."""
    context.credential = renewed
    secrets += secrets_in(renewed)
    learn(secrets)
    try:
        return await _attempt(program, params, context)
    except NodeError as error:
        raise Redaction(secrets).error(error) from None


async def _attempt(program: NodeProgram, params: Any, context: NodeContext) -> NodeResult:
    return await program.type.execute(params, context)


def _without(result: NodeResult, secrets: list[str]) -> NodeResult:
    redaction = Redaction(secret for secret in secrets if len(secret) >= SHORTEST_IN_OUTPUTS)
    output = _clean(result.output, redaction)
    port_data = _clean(result.port_data, redaction) if result.has_port_data else result.port_data
    unchanged = output is result.output and port_data is result.port_data
    return result if unchanged else replace(result, output=output, port_data=port_data)


def _clean(value: Any, redaction: Redaction) -> Any:
    """The value itself where no secret is in it, which is found out without walking it."""
    try:
        text = orjson.dumps(value)
    except TypeError:  # an integer of more than 64 bits
        return redaction.data(value)
    return redaction.data(value) if redaction.is_in(text) else value
