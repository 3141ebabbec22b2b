"""ASGI middleware that gives each request an id and sees to it that changes and refusals are in the audit log."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.audit import Trail, address_of, audit, begin, entry
from api.permissions import Permission, demand_of
from api.resources import Resources
from engine.errors import StructForgeError
from models.repositories.audit import NOBODYS_TENANT, AuditLog

HEADER = "X-Request-ID"
WINDOW_S = 60.0
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# The execution's own row says who started it.
NO_CHANGE = frozenset({Permission.PUBLIC, Permission.WORKFLOW_RUN})
_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Refusals:
    """The bound on entries of refused tries, so that a flood cannot fill the disk.

    In each minute a process writes one for each caller and action, and `most` in all; it counts the rest, and the next
    entry carries that number as `left_out`.
    """

    most: int
    left_out: int = 0
    _until: float = 0.0
    _seen: set[tuple[str, ...]] = field(default_factory=set[tuple[str, ...]])

    def take(self, *what: str) -> int | None:
        """How many were left out before this one, which is to be written; None if this one is left out too."""
        now = time.monotonic()
        if now >= self._until:
            self._until = now + WINDOW_S
            self._seen.clear()
        if what in self._seen or len(self._seen) >= self.most:
            self.left_out += 1
            return None
        self._seen.add(what)
        before, self.left_out = self.left_out, 0
        return before


class AuditTrail:
    """Stands outside everything that can refuse a request."""

    def __init__(self, app: ASGIApp, refused_per_minute: int) -> None:
        self._app = app
        self._refusals = Refusals(refused_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trail = Trail(_request_id(scope), address_of((scope.get("client") or ("",))[0]))
        begin(trail)

        async def send_noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                await self._note(scope, trail, message["status"], headers)
                headers[HEADER] = trail.request_id
            await send(message)

        await self._app(scope, receive, send_noted)

    async def _note(self, scope: Scope, trail: Trail, status: int, headers: MutableHeaders) -> None:
        if status in (401, 403):
            await self._note_refusal(scope, trail, status)
        elif status < 400 and trail.caller is not None and not trail.noted and _is_change(scope):
            assert trail.resources is not None
            await audit(trail.resources, trail.caller, *change_of(scope, headers.get("location")))

    async def _note_refusal(self, scope: Scope, trail: Trail, status: int) -> None:
        resources = cast("Resources | None", scope["app"].state.resources)
        if resources is None:
            return
        caller, action = trail.caller, _action(scope)
        who = trail.address if caller is None else str(caller.key_id or caller.user_id)
        left_out = self._refusals.take(who, action, str(status))
        if left_out is None:
            return
        kind, target = _target(scope, None)
        facts: dict[str, Any] = {"status": status} | ({"left_out": left_out} if left_out else {})
        reason = trail.reason or ("not signed in" if status == 401 else "denied")
        written = entry(caller, trail, action, kind, target, facts, reason)
        tenant = NOBODYS_TENANT if caller is None else caller.tenant
        try:
            await asyncio.shield(AuditLog(resources.database).add(tenant, [written]))
        except StructForgeError as error:
            _log.error("a refused %s is missing in the audit log: %s", action, error)


def change_of(scope: Scope, location: str | None) -> tuple[str, str, str]:
    """Action, kind and id of the change that a request asks for, named after its endpoint."""
    return _action(scope), *_target(scope, location)


def _request_id(scope: Scope) -> str:
    """The caller's own id if it is a plain one, so that it can be followed through gateways; else a new one."""
    given = Headers(scope=scope).get(HEADER, "")
    return given if _GIVEN_ID.fullmatch(given) else uuid4().hex


def _is_change(scope: Scope) -> bool:
    if scope["method"] in SAFE_METHODS:
        return False
    permissions = demand_of(scope.get("endpoint")).permissions
    return any(one not in NO_CHANGE and not one.endswith(":read") for one in permissions)


def _action(scope: Scope) -> str:
    """`workflow.archive` for `archive_workflow`, which asks for `workflow:write`."""
    endpoint = scope.get("endpoint")
    permissions = demand_of(endpoint).permissions
    resource = permissions[0].partition(":")[0] if permissions else "request"
    verb = getattr(endpoint, "__name__", scope["method"].lower()).partition("_")[0]
    return f"{resource}.{verb}"


def _target(scope: Scope, location: str | None) -> tuple[str, str]:
    """The last thing that the path names by its id, or the one that was made."""
    found = [(name[:-3], str(value)) for name, value in scope.get("path_params", {}).items() if name.endswith("_id")]
    if location is not None and not found:
        parts = location.rstrip("/").rsplit("/", 2)
        return parts[-2].removesuffix("s").replace("-", "_"), parts[-1]
    return found[-1] if found else ("", "")
