"""Whether a workflow may start now, and which of its versions: the one rule of the API, of triggers and of parents."""

from __future__ import annotations

from engine.errors import Conflict
from models.tables import Workflow

ARCHIVED = "archived"
PAUSED = "paused"


def check_startable(workflow: Workflow) -> None:
    """Raises: Conflict (WORKFLOW_ARCHIVED, WORKFLOW_PAUSED) if nothing may start from it."""
    if workflow.status == ARCHIVED:
        raise Conflict(f"the workflow {workflow.name!r} is archived", code="WORKFLOW_ARCHIVED")
    if workflow.status == PAUSED:
        raise Conflict(f"the workflow {workflow.name!r} is paused: resume it first", code="WORKFLOW_PAUSED")


def version_to_start(workflow: Workflow, number: int | None = None) -> int:
    """The version that a start runs: `number`, or the published one.

    Raises: Conflict (WORKFLOW_ARCHIVED, WORKFLOW_PAUSED; NOT_PUBLISHED of a draft without a `number`).
    """
    check_startable(workflow)
    wanted = number or workflow.published_version
    if wanted is None:
        raise Conflict(f"no version of {workflow.name!r} is published: name one", code="NOT_PUBLISHED")
    return wanted
