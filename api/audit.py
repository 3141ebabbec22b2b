"""The audit log: who did what to what, and who was refused.

Every request that changes something leaves an entry before its answer goes out: the one that its endpoint writes with
`audit`, or one that is named after the endpoint. Refused tries are entered too, up to a bound (`Refusals`).
Starts of executions are not repeated here: each execution's row says who started it and when.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

import orjson

from api.auth import Identity
from api.resources import Resources
from engine.errors import StructForgeError
from engine.telemetry.context import bound
from models.ids import new_id
from models.repositories.audit import AuditLog
from models.tables import AuditEntry

MAX_FACTS_BYTES = 4096
MAX_TEXT = 300
SECRET = re.compile(r"pass|secret|token|key$|authorization|cookie|credential_value|hash", re.IGNORECASE)
MASK = "**********"
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Trail:
    """What the log needs to know of the request under way."""

    request_id: str
    address: str
    caller: Identity | None = None
    resources: Resources | None = None
    noted: bool = False
    reason: str = ""


_trail: ContextVar[Trail | None] = ContextVar("audit_trail", default=None)


def begin(trail: Trail) -> None:
    """From here on, entries of this task belong to this request."""
    _trail.set(trail)
    if (work := bound()) is not None:
        work.request_id = trail.request_id


def note_caller(resources: Resources, caller: Identity) -> None:
    """Say who makes the request under way, as soon as that is known."""
    trail = _trail.get()
    if trail is not None:
        trail.resources, trail.caller = resources, caller
    if (work := bound()) is not None:
        work.tenant = str(caller.tenant)


def note_reason(reason: str) -> None:
    """Say why the request under way is refused."""
    trail = _trail.get()
    if trail is not None:
        trail.reason = reason


def note_nothing() -> None:
    """Say that the request under way changes nothing: an answer that was given before is given again."""
    trail = _trail.get()
    if trail is not None:
        trail.noted = True


async def audit_unless_noted(
    resources: Resources, caller: Identity, action: str, target_kind: str, target_id: object
) -> None:
    """Enter the change of the request under way, if its endpoint has entered nothing."""
    trail = _trail.get()
    if trail is None or not trail.noted:
        await audit(resources, caller, action, target_kind, target_id)


async def audit(
    resources: Resources, caller: Identity, action: str, target_kind: str, target_id: object, **facts: Any
) -> None:
    """Enter a change that was made: `action` is like `workflow.publish`, `facts` what a reader needs and no secret.

    The entry of a definition stands in the transaction of the change itself: without it there is no change. Of other
    changes, such as a word to an execution that runs, nothing can be taken back: a log that cannot be written is then
    the operator's matter, is reported in the process's own log and does not fail the request.
    """
    trail = _trail.get()
    if trail is not None:
        trail.noted = True
    written = entry(caller, trail, action, target_kind, target_id, facts)
    if resources.database.is_joined:
        await AuditLog(resources.database).add(caller.tenant, [written])
        return
    try:
        # A client that hangs up must not keep the entry out.
        await asyncio.shield(AuditLog(resources.database).add(caller.tenant, [written]))
    except StructForgeError as error:
        _log.error("%s of %s %s is missing in the audit log: %s", action, target_kind, target_id, error)


def entry(
    caller: Identity | None,
    trail: Trail | None,
    action: str,
    target_kind: str,
    target_id: object,
    facts: Mapping[str, Any],
    reason: str | None = None,
) -> AuditEntry:
    """An entry of a change, or with a `reason` of a refused try."""
    return AuditEntry(
        id=new_id(),
        **_actor(caller),
        action=action[:MAX_TEXT],
        target_kind=target_kind[:MAX_TEXT],
        target_id=str(target_id)[:MAX_TEXT],
        outcome="done" if reason is None else "refused",
        reason=(reason or "")[:MAX_TEXT],
        request_id="" if trail is None else trail.request_id,
        address="" if trail is None else trail.address,
        facts=bounded(facts),
    )  # pyright: ignore[reportCallIssue]


def _actor(caller: Identity | None) -> dict[str, Any]:
    if caller is None:
        return {"actor_kind": "nobody"}
    kind = "share" if caller.share is not None else "key" if caller.user_id is None else "user"
    return {
        "actor_kind": kind,
        "user_id": caller.user_id,
        "key_id": caller.key_id,
        "actor_name": (caller.email or caller.key_name)[:MAX_TEXT],
    }


def bounded(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts as JSON data: members named like secrets are masked, and too much of them is left out."""
    shown = cast("dict[str, Any]", _masked(orjson.loads(orjson.dumps(dict(facts), default=str))))
    if len(orjson.dumps(shown)) <= MAX_FACTS_BYTES:
        return shown
    return {"left_out": sorted(shown)[:50]}


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {name: MASK if SECRET.search(name) else _masked(one) for name, one in members.items()}
    if isinstance(value, list):
        return [_masked(one) for one in cast("list[Any]", value)]
    return value[:MAX_TEXT] if isinstance(value, str) else value


def address_of(host: object) -> str:
    """The client's address as it is kept."""
    return str(host)[:64] if host else ""
