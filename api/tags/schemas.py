"""Bodies of the tag routes."""

from __future__ import annotations

from api.schemas import Reply


class TagReply(Reply):
    """A tag and how many workflows have it."""

    tag: str
    workflows: int
