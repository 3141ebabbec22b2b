"""What people did to an execution: a line of its own log, for whoever wonders about its course, and the audit log."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from uuid import UUID

from api.audit import audit
from api.auth import Identity
from api.people import person_of
from api.resources import Resources
from engine.errors import SystemFault
from models.repositories.logs import LogLine, Logs

_WORDS = {
    "cancel": "was told to stop",
    "pause": "was paused",
    "resume": "was resumed",
    "skip": "was given an output by hand",
    "retry": "was told to try again at once",
}
_log = logging.getLogger(__name__)


async def note(
    resources: Resources,
    caller: Identity,
    execution_id: UUID,
    command: str,
    path: str | None = None,
    iteration: Sequence[int] = (),
) -> None:
    """Add a line about a command that was carried out; it was, even if the line cannot be written."""
    line = LogLine(
        caller.tenant,
        execution_id,
        "info",
        f"{'the execution' if path is None else 'the node'} {_WORDS[command]}",
        node_path=path,
        iteration=tuple(iteration) if path is not None else None,
        fields={"command": command, "by": person_of(caller).id},
    )
    try:
        await Logs(resources.database).append([line])
    except SystemFault as fault:
        _log.warning("the log of %s lacks a line: %s", execution_id, fault)
    place = {} if path is None else {"node": path, "iteration": list(iteration)}
    await audit(resources, caller, f"execution.{command}", "execution", execution_id, **place)
