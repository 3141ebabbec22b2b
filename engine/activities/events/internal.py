"""Events of our own, out of messages of the outbox. Nobody else may use types that begin with `structforge.`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from models.repositories.events import NewEvent
from models.tables import Execution, Outbox

RESERVED_TYPE = "structforge"
RESERVED_ID = "structforge:"
SOURCE = "structforge"
# An execution's last status, and the word for it in the type of its event.
ENDS = {"success": "succeeded", "failed": "failed", "cancelled": "cancelled", "timed_out": "timed_out"}


def is_reserved_type(event_type: str) -> bool:
    """Whether only StructForge itself publishes events of this type."""
    return event_type.split(".", 1)[0].lower() == RESERVED_TYPE


def ends_of(execution: Execution, depth: int) -> list[NewEvent]:
    """The two events of an execution that has ended: `finished`, and how."""
    words = ["finished", *([ENDS[execution.status]] if execution.status in ENDS else [])]
    return [_of_execution(f"execution.{word}", execution, depth, _end(execution)) for word in words]


def failed_node(message: Outbox, execution: Execution, depth: int) -> NewEvent:
    """The event of a node execution that has failed."""
    told = message.payload
    place = [told["node"], *map(str, told["iteration"]), str(told["generation"]), str(told["execution_attempt"])]
    data = {
        "execution_id": str(execution.id),
        "workflow_id": str(execution.workflow_id),
        "workflow": execution.workflow_name,
        **{name: told[name] for name in ("node", "node_type", "iteration", "generation", "execution_attempt")},
        "error": {"code": told.get("code"), "message": told.get("message")},
    }
    event = _of_execution("node.failed", execution, depth, data)
    return NewEvent(
        f"{event.id}:{':'.join(place)}", event.type, SOURCE, data, message.created_at, depth, execution.workflow_id
    )


def published_workflow(message: Outbox) -> NewEvent:
    """The event of a version that was published."""
    data = {name: message.payload[name] for name in ("workflow_id", "workflow", "version")}
    return _of_message("workflow.published", message, UUID(data["workflow_id"]), data)


def opened_approval(message: Outbox, execution: Execution, depth: int) -> NewEvent:
    """The event of an approval that waits for people."""
    data = {
        **message.payload,
        "execution_id": str(execution.id),
        "workflow_id": str(execution.workflow_id),
        "workflow": execution.workflow_name,
    }
    return _of_message("approval.opened", message, execution.workflow_id, data, depth)


def _end(execution: Execution) -> dict[str, Any]:
    error = execution.error or {}
    return {
        "execution_id": str(execution.id),
        "workflow_id": str(execution.workflow_id),
        "workflow": execution.workflow_name,
        "status": execution.status,
        "trigger": execution.trigger,
        "started_by": execution.started_by,
        "duration_ms": execution.duration_ms,
        "metadata": execution.labels,
        "error": {"code": error.get("code"), "message": error.get("message")} if error else None,
    }


def _of_execution(kind: str, execution: Execution, depth: int, data: dict[str, Any]) -> NewEvent:
    time = execution.finished_at or datetime.now(UTC)
    identifier = f"{RESERVED_ID}{kind}:{execution.id}"
    return NewEvent(identifier, f"{RESERVED_TYPE}.{kind}", SOURCE, data, time, depth, execution.workflow_id)


def _of_message(kind: str, message: Outbox, about: UUID, data: dict[str, Any], depth: int = 0) -> NewEvent:
    identifier = f"{RESERVED_ID}{kind}:{message.id}"
    return NewEvent(identifier, f"{RESERVED_TYPE}.{kind}", SOURCE, data, message.created_at, depth, about)
