"""ASGI middleware that counts requests and traces them; every answer names its trace in `X-Trace-Id`.

A request that starts one execution shares its trace, unless the caller gave a trace of its own (`traceparent`): then
the request belongs to that, and the two are linked.
"""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.telemetry import metrics
from engine.telemetry.context import Bound, binding, new_span, root_span
from engine.telemetry.tracing import Span, Tracing, tracing
from models.ids import new_id

HEADER = "X-Trace-Id"
PREFIX = "/api/v1"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_log = logging.getLogger(__name__)
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class _Caller:
    """Where the caller's own trace stands."""

    trace: int
    span: int
    sampled: bool


class Observed:
    """Stands outside every other middleware, so that what they refuse is seen too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        caller = _caller(scope)
        trace = new_id().int if caller is None else caller.trace
        work = Bound(trace=trace, span=new_span(), claimable=caller is None)
        began, clock, status = time.time(), time.perf_counter(), 500

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = work.trace_id
            await send(message)

        metrics.REQUESTS_RUNNING.inc()
        try:
            with binding(work):
                await self._app(scope, receive, send_named)
        finally:
            metrics.REQUESTS_RUNNING.dec()
            method, route = metrics.known(scope["method"], METHODS), route_of(scope)
            metrics.REQUESTS.labels(method, route, str(status)).inc()
            metrics.REQUEST_DURATION.labels(method, route).observe(time.perf_counter() - clock)
            with binding(work):
                _log.debug("%s %s was answered %d", method, route, status)
            if (active := tracing()) is not None:
                _trace(active, work, caller, method, route, status, began)


def _trace(
    active: Tracing, work: Bound, caller: _Caller | None, method: str, route: str, status: int, began: float
) -> None:
    started, links = work.started, list[tuple[int, int]]()
    parent = 0 if caller is None else caller.span
    if started is not None:
        root = root_span(started.int)
        if started.int == work.trace:
            parent = root
        else:
            links.append((started.int, root))
    facts = {"http.request.method": method, "http.route": route, "http.response.status_code": status}
    facts |= {"structforge.tenant": work.tenant or None, "structforge.request.id": work.request_id or None}
    failed = str(status) if status >= 500 else None
    sampled = None if caller is None else caller.sampled
    active.emit(
        Span(
            f"{method} {route}",
            work.trace,
            work.span,
            parent,
            began,
            time.time(),
            "server",
            facts,
            failed,
            links,
            sampled,
        )
    )


def _caller(scope: Scope) -> _Caller | None:
    found = _TRACEPARENT.fullmatch(Headers(scope=scope).get("traceparent", "").strip())
    if found is None:
        return None
    trace, span = int(found[1], 16), int(found[2], 16)
    return _Caller(trace, span, bool(int(found[3], 16) & 1)) if trace and span else None


def route_of(scope: Scope) -> str:
    """The path of the route with its parameters' names: as many as there are routes, whatever callers ask for."""
    path = getattr(scope.get("route"), "path", None)
    if not isinstance(path, str):
        return "none"
    # A router that is included knows its paths without the prefix.
    return PREFIX + path if scope["path"].startswith(f"{PREFIX}/") and not path.startswith(PREFIX) else path
