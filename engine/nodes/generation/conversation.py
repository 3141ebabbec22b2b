"""A conversation as a document writes it, and as providers are handed it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator

from engine.errors import EXTERNAL_ERROR, INVALID_CONFIG, NodeError
from engine.nodes.base import NodeContext
from engine.nodes.binary import unwrap_bytes
from engine.nodes.generation.pictures import picture_of
from engine.nodes.generation.port import Message, Picture, Tool, ToolCall
from engine.nodes.json_text import dump_json
from engine.nodes.ports import HttpRequest, required

_MOST_PICTURE_BYTES = 20_000_000
_DATA_URL = re.compile(r"data:image/[a-z0-9.+-]+;base64,", re.IGNORECASE)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TextPart(_Part):
    type: Literal["text"]
    text: str = Field(description="The text")


class ImageBytes(_Part):
    base64: str = Field(min_length=1, description="The picture's bytes")
    content_type: str | None = Field(default=None, description="May be left out: the bytes say what they are")


def _kind(value: Any) -> str:
    """Which of two forms is meant, so that a fault in it is told once, where it stands."""
    return "text" if isinstance(value, str) else "other"


class ImagePart(_Part):
    type: Literal["image"]
    image: Annotated[Annotated[str, Tag("text")] | Annotated[ImageBytes, Tag("other")], Discriminator(_kind)] = Field(
        description="An http(s) or data URL, or {base64}, such as an image that another node made or read"
    )

    @field_validator("image", mode="after")
    @classmethod
    def _readable(cls, value: str | ImageBytes) -> str | ImageBytes:
        if isinstance(value, str) and not (value.startswith(("http://", "https://")) or _DATA_URL.match(value)):
            raise ValueError("an image is an http(s) URL, a data URL with base64, or {base64}")
        return value


class GivenCall(_Part):
    id: str = Field(min_length=1, description="What the tool's message names as tool_call_id")
    name: str = Field(min_length=1, description="The tool")
    arguments: dict[str, Any] = Field(default_factory=dict[str, Any], description="Its arguments")
    signature: str | None = Field(default=None, description="As it came with the call")


_Parts = list[Annotated[TextPart | ImagePart, Field(discriminator="type")]]


class SystemTurn(_Part):
    role: Literal["system"]
    content: str = Field(description="What the model is told beforehand")


class UserTurn(_Part):
    role: Literal["user"]
    content: Annotated[Annotated[str, Tag("text")] | Annotated[_Parts, Tag("other")], Discriminator(_kind)] = Field(
        description='Text, or a list of {"type": "text"} and {"type": "image"} parts'
    )


class AssistantTurn(_Part):
    role: Literal["assistant"]
    content: str | None = Field(default=None, description="What the model said")
    tool_calls: list[GivenCall] | None = Field(default=None, description="The tools it called")


class ToolTurn(_Part):
    role: Literal["tool"]
    tool_call_id: str = Field(min_length=1, description="The call that this answers")
    name: str | None = Field(default=None, description="The tool")
    content: Any = Field(description="What the tool gave: text, or data")


Turn = Annotated[SystemTurn | UserTurn | AssistantTurn | ToolTurn, Field(discriminator="role")]


class ToolParam(_Part):
    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$", description="Letters, digits, _ and -, at most 64")
    description: str = Field(default="", description="What it does, for the model to choose by")
    parameters: dict[str, Any] = Field(
        default_factory=dict[str, Any], description="JSON Schema of its arguments, which are an object"
    )

    @field_validator("parameters", mode="after")
    @classmethod
    def _object(cls, value: dict[str, Any]) -> dict[str, Any]:
        if value and value.get("type") != "object":
            raise ValueError("the schema of a tool's parameters must have the type object")
        return value

    def tool(self) -> Tool:
        return Tool(self.name, self.description, self.parameters)


def system_of(turns: Sequence[Turn], system_prompt: str) -> str:
    """Everything that is said beforehand, as one text."""
    said = [turn.content for turn in turns if isinstance(turn, SystemTurn)]
    return "\n\n".join(text for text in (system_prompt, *said) if text)


async def messages_of(turns: Sequence[Turn], context: NodeContext) -> list[Message]:
    """The turns but those of the system, with the pictures behind URLs fetched.

    Raises: NodeError INVALID_CONFIG for a picture that is none, and what the HTTP client raises.
    """
    names = {call.id: call.name for turn in turns if isinstance(turn, AssistantTurn) for call in turn.tool_calls or ()}
    return [await _message(turn, names, context) for turn in turns if not isinstance(turn, SystemTurn)]


async def _message(turn: UserTurn | AssistantTurn | ToolTurn, names: dict[str, str], context: NodeContext) -> Message:
    if isinstance(turn, ToolTurn):
        text = turn.content if isinstance(turn.content, str) else dump_json(turn.content).decode()
        name = turn.name or names.get(turn.tool_call_id)
        return Message("tool", (text,), tool_call_id=turn.tool_call_id, name=name)
    if isinstance(turn, AssistantTurn):
        calls = [ToolCall(call.id, call.name, call.arguments, call.signature) for call in turn.tool_calls or ()]
        return Message("assistant", (turn.content,) if turn.content else (), calls)
    if isinstance(turn.content, str):
        return Message("user", (turn.content,))
    return Message("user", [await _part(part, context) for part in turn.content])


async def _part(part: TextPart | ImagePart, context: NodeContext) -> str | Picture:
    if isinstance(part, TextPart):
        return part.text
    try:
        return picture_of(await _picture_bytes(part.image, context))
    except ValueError as error:
        raise NodeError(f"an image of a message cannot be used: {error}", code=INVALID_CONFIG) from None


async def _picture_bytes(image: str | ImageBytes, context: NodeContext) -> bytes:
    if isinstance(image, ImageBytes):
        return unwrap_bytes({"base64": image.base64})
    if not image.startswith(("http://", "https://")):
        try:
            return base64.b64decode(image.partition(",")[2], validate=True)
        except binascii.Error:
            raise ValueError("the data URL holds no base64") from None
    # Fetched here, behind the guard against internal addresses, since not every provider fetches.
    http = required(context.ports.http, "HTTP client")
    response = await http.send(
        HttpRequest(
            "GET",
            image,
            timeout_s=context.own_deadline_s,
            max_response_bytes=_MOST_PICTURE_BYTES,
            idempotent=True,
        )
    )
    if response.status != 200:
        message = f"an image of a message cannot be fetched: its server answered {response.status}"
        raise NodeError(message, code=EXTERNAL_ERROR, retryable=response.status >= 500)
    return response.content


def call_output(call: ToolCall) -> dict[str, Any]:
    """A tool call as outputs carry it and as messages take it back."""
    written = {"id": call.id, "name": call.name, "arguments": call.arguments}
    return written if call.signature is None else {**written, "signature": call.signature}
