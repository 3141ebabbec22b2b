"""What a notification tells: the names that its templates know, and what stands behind them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, cast

import orjson

from models.repositories.notifications import Ended
from models.tables import Approval, Outbox

Event = Literal["failed", "succeeded", "cancelled", "timed_out", "waiting", "quota_near"]
NAMES = frozenset({"event", "at", "workflow", "execution", "error", "approval", "quota", "link", "output"})
"""In the scope of every template."""

_MEMBERS: Mapping[str, tuple[str, ...]] = {
    "workflow": ("id", "name"),
    "execution": (
        "id", "status", "trigger", "started_by", "attempt", "version", "duration_ms", "created_at", "started_at",
        "finished_at",
    ),
    "error": ("code", "message", "details", "retryable"),
    "approval": ("id", "node", "message", "approvers", "quorum", "allow_self", "has_form", "deadline"),
    "quota": ("kind", "subject", "period", "limit", "used"),
}  # fmt: skip

EVENTS: Mapping[str, Event] = {
    "success": "succeeded",
    "failed": "failed",
    "cancelled": "cancelled",
    "timed_out": "timed_out",
}
"""By the status that an execution ends with."""

MAX_MESSAGE_CHARS = 4000
MAX_DETAILS_BYTES = 4096


def of_end(event: Event, ended: Ended, at: datetime, base_url: str) -> dict[str, Any]:
    """An execution that has ended; never its input or output."""
    facts = {name: value for name, value in ended.facts.items() if name != "error"}
    return {
        **_empty(event, at),
        "workflow": {"id": str(ended.workflow_id), "name": ended.workflow_name},
        "execution": facts,
        "error": _error(ended.facts["error"]),
        "link": f"{base_url}/executions/{ended.id}",
    }


def of_approval(row: Approval, asking: Ended | None, at: datetime, base_url: str) -> dict[str, Any]:
    """An approval that has opened."""
    asked = {
        "id": str(row.id),
        "node": row.node_path,
        "message": row.message[:MAX_MESSAGE_CHARS],
        "approvers": row.approvers[:100],
        "quorum": row.quorum,
        "allow_self": row.allow_self,
        "has_form": row.form is not None,
        "deadline": None if row.deadline is None else row.deadline.isoformat(),
    }
    facts = {} if asking is None else {name: value for name, value in asking.facts.items() if name != "error"}
    return {
        **_empty("waiting", at),
        "workflow": {"id": str(row.workflow_id), "name": row.workflow_name},
        "execution": {"id": str(row.execution_id), "started_by": row.started_by, **facts},
        "approval": asked,
        "link": f"{base_url}/approvals/{row.id}",
    }


def of_quota(message: Outbox, base_url: str) -> dict[str, Any]:
    """A quota of which four fifths are used."""
    members = ("quota", "subject", "period", "limit", "used")
    about = {name: message.payload.get(name) for name in members}
    return {
        **_empty("quota_near", message.created_at),
        "quota": {"kind": about.pop("quota"), **about},
        "link": f"{base_url}/api/v1/quotas/usage",
    }


def scope_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """What templates see: members of what an event has not are null, so that one template does for several events."""
    members = {name: {**dict.fromkeys(known), **(told.get(name) or {})} for name, known in _MEMBERS.items()}
    return {**told, **members}


def _empty(event: Event, at: datetime) -> dict[str, Any]:
    return {**dict.fromkeys(sorted(NAMES)), "event": event, "at": at.isoformat()}


def _error(error: Any) -> dict[str, Any] | None:
    """The error as it is recorded, without secrets as everything there; long details are left out."""
    if not isinstance(error, dict):
        return None
    given = cast("dict[str, Any]", error)
    details: Any = given.get("details")
    if len(orjson.dumps(details, default=str)) > MAX_DETAILS_BYTES:
        details = {"left_out": True}
    message = str(given.get("message", ""))[:MAX_MESSAGE_CHARS]
    return {"code": given.get("code"), "message": message, "details": details, "retryable": given.get("retryable")}
