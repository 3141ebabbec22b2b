"""Bodies of workflows. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from structforge.client.models.shared import IssueReply
from structforge.client.shapes import ReplyModel


class Validation(ReplyModel):
    """`valid` says that no issue is an error."""

    valid: bool
    issues: list[IssueReply]
