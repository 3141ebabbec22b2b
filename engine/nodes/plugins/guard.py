"""What stands around every node of a plugin: unexpected errors become failures, and secrets never leave it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

from engine.errors import NodeError, SystemFault
from engine.nodes.context import Credential, LogLevel, NodeContext, NodeResult
from engine.nodes.node_type import NodeType
from engine.nodes.outbound.redaction import Redaction

_SECRET_FIELDS = ("value", "token", "password", "secret", "client_secret", "url")


def guarded(node_type: NodeType) -> NodeType:
    """The type with a guard around its executor.

    Without it, an unexpected error would be a failure of the activity, which Temporal repeats without an end.
    """
    execute = node_type.executor
    if execute is None:
        return node_type

    async def run(params: Any, context: NodeContext) -> NodeResult:
        redaction = Redaction(secrets_in(context.credential))
        sink = context.log_sink

        def log(level: LogLevel, message: str, fields: Mapping[str, Any]) -> None:
            sink(level, redaction.text(message), redaction.data(dict(fields)))

        try:
            result = await execute(params, replace(context, log_sink=log))
        except NodeError as error:
            raise redaction.error(error) from None
        except (SystemFault, TimeoutError, MemoryError, RecursionError):
            raise
        except (Exception, SystemExit) as error:
            text = redaction.text(f"{type(error).__name__}: {error}"[:2000])
            raise NodeError(f"the node failed unexpectedly: {text}") from None
        if context.credential is None:
            return result
        return replace(result, output=redaction.data(result.output), port_data=redaction.data(result.port_data))

    return replace(node_type, executor=run)


def secrets_in(credential: Credential | None) -> list[str]:
    """The texts of a credential that must not be seen, the password of a URL on its own among them."""
    fields: Mapping[str, Any] = {} if credential is None else dict(credential)
    found = [str(fields[name]) for name in _SECRET_FIELDS if fields.get(name)]
    password = urlsplit(str(fields.get("url", ""))).password
    return [*found, password, unquote(password)] if password else found
