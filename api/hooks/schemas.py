"""What is told about the webhooks of a workflow."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api.schemas import Reply


class HookReply(Reply):
    """A webhook: where it is called, and how its caller proves itself."""

    node: str = Field(description="Id of the trigger")
    method: str
    path: str
    url: str = Field(description="Where the published version is called")
    test_url: str = Field(description="Where editors try the latest version, with their own token")
    version: int
    live: bool = Field(description="Whether calls start executions now")
    auth: Literal["none", "api_key", "bearer", "hmac"]
    credential: str | None
    proof: str = Field(description="What a call must carry, in words")
    response: Literal["immediate", "result", "node"]


class HookList(Reply):
    """The webhooks of the published version, and those that the latest version would have, by path and method."""

    items: list[HookReply]
