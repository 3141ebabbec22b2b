"""Bodies of export and import. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from uuid import UUID

from structforge.client.models.shared import IssueReply
from structforge.client.shapes import ReplyModel


class Imported(ReplyModel):
    """What became, or on a dry run would become, of one document."""

    source: str
    name: str | None
    outcome: str
    saved_as: str | None
    workflow_id: UUID | None
    version: int | None
    issues: list[IssueReply]


class ImportReply(ReplyModel):
    """`stored` false: it was a dry run, or some document was invalid or in conflict, and so nothing is stored."""

    stored: bool
    dry_run: bool
    items: list[Imported]
