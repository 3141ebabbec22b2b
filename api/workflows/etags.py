"""ETags of workflows: `"<latest version>"`, so that a client can say which version it has edited."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header

from engine.errors import Issue, ValidationFailed
from models.tables import Workflow

IfMatch = Annotated[str | None, Header(description='`"3"`: save only if version 3 is still the latest')]
IfNoneMatch = Annotated[str | None, Header(description="ETag of what the client has")]
_TAG = re.compile(r'"(\d{1,9})(?:\.[0-9a-f]*)?"')


def etag_of(workflow: Workflow) -> str:
    """Changes with the latest version and with all else that the workflow's reply shows."""
    return f'"{workflow.latest_version}.{int(workflow.updated_at.timestamp() * 1_000_000):x}"'


def expected_version(if_match: str | None) -> int | None:
    """The version that `If-Match` names; None if any will do. Raises: ValidationFailed."""
    if if_match is None or if_match.strip() == "*":
        return None
    match = _TAG.fullmatch(if_match.strip())
    if match is None:
        issue = Issue("INVALID_VALUE", 'header["if-match"]', "is no ETag of a workflow", "send the ETag that GET gave")
        raise ValidationFailed([issue], "the request is not valid")
    return int(match.group(1))
