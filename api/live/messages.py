"""Changes of the record as messages of a stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.live.schemas import (
    EndMessage,
    EndReason,
    Event,
    ExecutionMessage,
    LineMessage,
    Message,
    NodeMessage,
    PartialMessage,
    ResetMessage,
)
from engine.activities.clients.redis_events import Hint
from models.repositories.live import Change, Line
from models.rows import TERMINAL_EXECUTION_STATUSES, TERMINAL_NODE_STATUSES

_BEFORE_THE_END: dict[str, Event] = {
    "running": "node.started",
    "retrying": "node.retrying",
    "waiting": "node.waiting",
}
_RENAMED = {"execution_id": "id", "path": "node_path", "type": "node_type"}
_RESUMABLE: frozenset[EndReason] = frozenset({"time", "too_slow", "stopping", "fault"})


@dataclass(frozen=True, slots=True)
class Told:
    """One message; `id` is where a client that has it goes on, None for what is not kept."""

    event: Event
    data: Message
    id: str | None = None

    @property
    def ends(self) -> bool:
        return self.event == "end"

    def as_frame(self) -> dict[str, Any]:
        """The message as a WebSocket carries it."""
        return {"id": self.id, "event": self.event, "data": self.data.model_dump(mode="json")}


def message_of_change(change: Change) -> Told | None:
    """None for what has not begun: a stream tells of it when it does."""
    status = change.values["status"]
    if change.is_execution:
        over = status in TERMINAL_EXECUTION_STATUSES
        data = ExecutionMessage(**_members(ExecutionMessage, change.values))
        return Told("execution.finished" if over else "execution.status", data, str(change.cursor))
    event = "node.finished" if status in TERMINAL_NODE_STATUSES else _BEFORE_THE_END.get(status)
    if event is None:
        return None
    return Told(event, NodeMessage(**_members(NodeMessage, change.values)), str(change.cursor))


def message_of_line(line: Line) -> Told:
    members = _members(LineMessage, line.values, {"path": "node_path"})
    return Told("log", LineMessage(**members), str(line.cursor))


def message_of_hint(hint: Hint) -> Told | None:
    """The piece of text in a hint; None if it has none."""
    if hint.text is None:
        return None
    data = PartialMessage(
        execution_id=hint.execution_id, node=hint.node, attempt=hint.attempt, offset=hint.offset, text=hint.text
    )
    return Told("node.partial", data)


def reset() -> Told:
    return Told("reset", ResetMessage())


def end(reason: EndReason, detail: str = "", *, resume: bool = False) -> Told:
    return Told("end", EndMessage(reason=reason, resume=resume or reason in _RESUMABLE, detail=detail))


def _members(model: type[Message], values: Mapping[str, Any], renamed: Mapping[str, str] = _RENAMED) -> dict[str, Any]:
    return {name: values[renamed.get(name, name)] for name in model.model_fields}
