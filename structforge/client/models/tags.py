"""Bodies of tags. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from structforge.client.shapes import ReplyModel


class TagReply(ReplyModel):
    """A tag and how many workflows have it."""

    tag: str
    workflows: int
