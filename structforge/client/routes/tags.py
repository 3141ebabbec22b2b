"""Routes of tags. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from structforge.client.calls import Call, call
from structforge.client.models.tags import TagReply


class TagsRoutes:
    """Routes of tags."""

    @call
    def list_tags(self, *, prefix: str | None = None) -> Call[list[TagReply]]:
        """Tags of the workflows that the caller may see, and how many workflows have each."""
        return Call("GET", "/api/v1/tags", list[TagReply], params={"prefix": prefix})
