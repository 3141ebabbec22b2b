"""ETags of workflows: `"<latest version>.<time>"`, so that a client can say which version it has edited."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header

from engine.errors import Conflict, Issue, ValidationFailed
from models.tables import Workflow, WorkflowVersion

IfMatch = Annotated[str | None, Header(description='`"3"`: save only if version 3 is still the latest')]
IfNoneMatch = Annotated[str | None, Header(description="ETag of what the client has")]
_TAG = re.compile(r'"(\d{1,9})(?:\.[0-9a-f]*)?"')


def etag_of(workflow: Workflow) -> str:
    """Changes with the latest version and with all else that the workflow's reply shows."""
    return f'"{workflow.latest_version}.{int(workflow.updated_at.timestamp() * 1_000_000):x}"'


def version_etag(version: WorkflowVersion, published: bool) -> str:
    """A version never changes; whether it is the published one does."""
    return f'"{version.number}.{version.digest[:16]}.{int(published)}"'


def expected_version(if_match: str | None) -> int | None:
    """The version that `If-Match` names; None if any will do. Raises: ValidationFailed."""
    if if_match is None or if_match.strip() == "*":
        return None
    match = _TAG.fullmatch(if_match.strip())
    if match is None:
        issue = Issue("INVALID_VALUE", 'header["if-match"]', "is no ETag of a workflow", "send the ETag that GET gave")
        raise ValidationFailed([issue], "the request is not valid")
    return int(match.group(1))


def check_unchanged(workflow: Workflow, if_match: str | None) -> None:
    """Raises: Conflict (VERSION_CONFLICT) if the workflow is not as `If-Match` says; ValidationFailed."""
    expected = expected_version(if_match)
    if if_match is None or expected is None:
        return
    given = if_match.strip()
    if expected != workflow.latest_version or ("." in given and given != etag_of(workflow)):
        details = {"expected_version": expected, "latest_version": workflow.latest_version}
        raise Conflict("the workflow was changed meanwhile: read it again", code="VERSION_CONFLICT", details=details)
