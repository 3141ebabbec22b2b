"""What a caller of a webhook is told: the execution's id, the workflow's outputs, or what one of its nodes says."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

import orjson
from fastapi import Response

from api.executions.data import data_bytes
from api.executions.waiting import wait_for_end
from api.resources import Resources
from engine.dag.values import Value
from engine.errors import NotFound, StructForgeError
from engine.nodes.binary import unwrap_bytes
from engine.nodes.trigger.webhook import WebhookParams
from models.repositories.executions import Executions
from models.repositories.node_executions import NodeExecutions
from models.rows import TERMINAL_NODE_STATUSES, NodeRow
from models.tables import Execution
from models.tenancy import TenantId

LATE, FAILED, UNFIT = "WEBHOOK_LATE", "WEBHOOK_FAILED", "WEBHOOK_ANSWER"
MAX_HEADERS = 50
SHAPE = frozenset({"status", "headers", "body"})
# A page that a workflow serves must not act as the product's own pages do: it gets no origin, and no type is guessed.
OURS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox", "Cache-Control": "no-store"}
_FIRST_LOOK_S, _LAST_LOOK_S = 0.02, 0.25
_FINAL = ("success", "skipped", "pruned")  # what failed may succeed in the next attempt of the execution
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,8000}")
# Of the connection, of our own pages' protection, or of somebody's session with this host.
_REFUSED = frozenset(
    {
        "alt-svc",
        "clear-site-data",
        "connection",
        "content-encoding",
        "content-length",
        "content-security-policy",
        "content-security-policy-report-only",
        "date",
        "keep-alive",
        "nel",
        "origin-agent-cluster",
        "permissions-policy",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "public-key-pins",
        "refresh",
        "report-to",
        "server",
        "service-worker-allowed",
        "set-cookie",
        "set-cookie2",
        "strict-transport-security",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "www-authenticate",
        "x-content-type-options",
        "x-frame-options",
        "x-request-id",
        "x-trace-id",
    }
)
_REFUSED_PREFIXES = ("access-control-", "cross-origin-", "ratelimit-", "sec-", "proxy-")


class HookFailure(StructForgeError):
    """The call started an execution, and what was asked for does not come of it; `details` name the execution."""

    code = FAILED


async def answer(resources: Resources, tenant: TenantId, execution: Execution, params: WebhookParams) -> Response:
    """The answer that the webhook's parameters ask for; it waits for `hooks.wait_s` at most.

    Raises: HookFailure (WEBHOOK_LATE, WEBHOOK_FAILED, WEBHOOK_ANSWER); SystemFault.
    """
    if params.response == "immediate":
        return accepted(execution.id)
    wait_s = resources.settings.hooks.wait_s
    if params.response == "node":
        assert params.response_node is not None
        row = await _node_row(resources, tenant, execution.id, params.response_node, wait_s)
        return await node_answer(resources, tenant, execution.id, row)
    if not await wait_for_end(resources, tenant, execution.id, wait_s):
        raise _late(execution.id, wait_s)
    ended = await Executions(resources.database).get(tenant, execution.id)
    if ended.status != "success":
        raise _failure(FAILED, execution.id, f"the execution ended as {ended.status}")
    return _json(await _loaded(resources, tenant, execution.id, ended.output), 200, execution.id)


def accepted(execution_id: UUID) -> Response:
    """202: the execution is on record and runs or soon will."""
    return _json({"execution_id": str(execution_id)}, 202, execution_id)


async def node_answer(resources: Resources, tenant: TenantId, execution_id: UUID, row: NodeRow | None) -> Response:
    """`{status, headers, body}` as it says, any other output as JSON. Raises: HookFailure."""
    if row is None or row.status != "success":
        state = "did not run" if row is None or row.status in ("pruned", "skipped") else f"ended as {row.status}"
        raise _failure(FAILED, execution_id, f"the node that answers {state}")
    output = await _loaded(resources, tenant, execution_id, row.output)
    if not isinstance(output, dict) or not output or not SHAPE.issuperset(cast("dict[str, Any]", output)):
        return _json(output, 200, execution_id)
    return shaped(cast("dict[str, Any]", output), execution_id)


def shaped(output: Mapping[str, Any], execution_id: UUID) -> Response:
    """The answer that a node wrote. Raises: HookFailure (WEBHOOK_ANSWER) if it cannot be sent."""
    status = output.get("status", 200)
    if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status <= 599:
        raise _failure(UNFIT, execution_id, "its status is no number from 200 to 599")
    headers = _own_headers(output.get("headers"), execution_id)
    content, kind = _content(output.get("body"), execution_id)
    if status in (204, 205, 304):
        content = b""
    response = Response(content, status, headers={**OURS, **headers, **_about(execution_id)})
    if content and "content-type" not in response.headers:
        response.headers["content-type"] = kind
    return response


def _own_headers(given: Any, execution_id: UUID) -> dict[str, str]:
    if given is None:
        return {}
    members = cast("dict[Any, Any]", given) if isinstance(given, dict) else {}
    if not isinstance(given, dict) or len(members) > MAX_HEADERS:
        raise _failure(UNFIT, execution_id, f"its headers are no object with at most {MAX_HEADERS} members")
    found: dict[str, str] = {}
    for name, value in members.items():
        lower = str(name).lower()
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if lower in _REFUSED or lower.startswith(_REFUSED_PREFIXES):
            raise _failure(UNFIT, execution_id, f"a workflow may not set the header {lower[:100]}")
        if _NAME.fullmatch(lower) is None or not isinstance(text, str) or _VALUE.fullmatch(text) is None:
            raise _failure(UNFIT, execution_id, f"the header {lower[:100]!r} cannot be sent")
        found["Cache-Control" if lower == "cache-control" else lower] = text
    return found


def _content(body: Any, execution_id: UUID) -> tuple[bytes, str]:
    """The bytes of a body, and their type unless a header says another."""
    if body is None:
        return b"", ""
    if isinstance(body, str):
        return body.encode("utf-8", "replace"), "text/plain; charset=utf-8"
    if isinstance(body, dict) and cast("dict[str, Any]", body).keys() == {"base64"}:
        try:
            return unwrap_bytes(body), "application/octet-stream"
        except ValueError as error:
            raise _failure(UNFIT, execution_id, f"its body cannot be read: {error}") from None
    return orjson.dumps(body), "application/json"


def _json(data: Any, status: int, execution_id: UUID) -> Response:
    headers = {**OURS, **_about(execution_id)}
    return Response(orjson.dumps(data), status, headers=headers, media_type="application/json")


def _about(execution_id: UUID) -> dict[str, str]:
    return {"Location": f"/api/v1/executions/{execution_id}"}


async def _node_row(
    resources: Resources, tenant: TenantId, execution_id: UUID, node: str, wait_s: float
) -> NodeRow | None:
    """The node's outcome as soon as it is on record; None if the execution ended without one. Raises: HookFailure."""
    end = asyncio.ensure_future(wait_for_end(resources, tenant, execution_id, wait_s))
    pause_s = _FIRST_LOOK_S
    try:
        while True:
            is_over = end.done()  # asked before the look: what is recorded by then is all there will be
            row = await _recorded(resources, tenant, execution_id, node)
            if row is not None and (is_over or row.status in _FINAL):
                return row
            if is_over:
                if end.result():
                    return None
                raise _late(execution_id, wait_s)
            await asyncio.wait([end], timeout=pause_s)
            pause_s = min(_LAST_LOOK_S, pause_s * 1.5)
    finally:
        end.cancel()


async def _recorded(resources: Resources, tenant: TenantId, execution_id: UUID, node: str) -> NodeRow | None:
    """A container that was run again has several outcomes; the last one counts."""
    rows = await NodeExecutions(resources.database).list(tenant, execution_id, node_path=node, limit=100)
    return next((row for row in reversed(rows) if row.status in TERMINAL_NODE_STATUSES), None)


async def _loaded(resources: Resources, tenant: TenantId, execution_id: UUID, value: Value | None) -> Any:
    if value is None:
        return None
    if data_bytes(value) > resources.settings.hooks.max_body_bytes:
        raise _failure(UNFIT, execution_id, "it is too large")
    try:
        return await resources.values.load(tenant, value)
    except NotFound:
        raise _failure(UNFIT, execution_id, "it is not there any more") from None


def _late(execution_id: UUID, wait_s: float) -> HookFailure:
    return _failure(LATE, execution_id, f"it did not come within {wait_s:g} s; the execution goes on")


def _failure(code: str, execution_id: UUID, reason: str) -> HookFailure:
    return HookFailure(f"no answer: {reason}", code=code, details={"execution_id": str(execution_id)})
