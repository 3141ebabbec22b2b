"""Bodies of webhooks. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from structforge.client.shapes import ReplyModel


class HookReply(ReplyModel):
    """A webhook: where it is called, and how its caller proves itself."""

    node: str
    method: str
    path: str
    url: str
    test_url: str
    version: int
    live: bool
    auth: str
    credential: str | None
    proof: str
    response: str


class HookList(ReplyModel):
    """The webhooks of the published version, and those that the latest version would have, by path and method."""

    items: list[HookReply]
