"""Messages, tools and schemas as Gemini's API writes them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, cast

from google.genai import types

from engine.nodes.generation.port import Message, Tool, ToolCall

_OWN_ID = "gemini-"  # ids that we made, since the API gave none
_KNOWN = frozenset(
    {
        *("$defs", "$ref", "type", "format", "title", "description", "enum", "items", "prefixItems", "minItems"),
        *("maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties", "additionalProperties", "required"),
    }
)
_MAPS = ("$defs", "properties")


def written_contents(messages: Sequence[Message]) -> list[types.Content]:
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    return [_content(message, names) for message in messages]


def _content(message: Message, names: dict[str, str]) -> types.Content:
    if message.role == "tool":
        known = message.tool_call_id or ""
        answer = types.FunctionResponse(
            id=_their_id(known), name=message.name or names.get(known, known), response={"result": message.text}
        )
        return types.Content(role="user", parts=[types.Part(function_response=answer)])
    parts = [_part(part) for part in message.parts] + [_written_call(call) for call in message.tool_calls]
    return types.Content(role="model" if message.role == "assistant" else "user", parts=parts)


def _part(part: Any) -> types.Part:
    if isinstance(part, str):
        return types.Part(text=part)
    return types.Part(inline_data=types.Blob(data=part.data, mime_type=part.content_type))


def _written_call(call: ToolCall) -> types.Part:
    arguments = cast("dict[str, Any]", call.arguments) if isinstance(call.arguments, dict) else {}
    written = types.FunctionCall(id=_their_id(call.id), name=call.name, args=arguments)
    return types.Part(function_call=written, thought_signature=_signature(call.signature))


def _their_id(known: str) -> str | None:
    return None if not known or known.startswith(_OWN_ID) else known


def _signature(text: str | None) -> bytes | None:
    try:
        return None if text is None else base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def call_of(part: types.Part, position: int) -> ToolCall:
    call = part.function_call or types.FunctionCall()
    signature = part.thought_signature
    return ToolCall(
        call.id or f"{_OWN_ID}{position}",
        call.name or "",
        call.args or {},
        None if signature is None else base64.b64encode(signature).decode("ascii"),
    )


def written_tools(tools: Sequence[Tool]) -> types.Tool:
    return types.Tool(
        function_declarations=[
            types.FunctionDeclaration(
                name=tool.name,
                description=tool.description,
                parameters_json_schema=reduced_schema(tool.parameters) if tool.parameters else None,
            )
            for tool in tools
        ]
    )


def reduced_schema(schema: Any) -> Any:
    """A schema with the keywords that the API knows; the answer is checked against all of them afterwards."""
    if not isinstance(schema, dict):
        return schema
    place = cast("dict[str, Any]", schema)
    reduced: dict[str, Any] = {}
    for key, value in place.items():
        if key in _MAPS and isinstance(value, dict):
            reduced[key] = {name: reduced_schema(member) for name, member in cast("dict[str, Any]", value).items()}
        elif key in _KNOWN:
            listed = isinstance(value, list) and key in ("anyOf", "oneOf", "prefixItems")
            reduced[key] = [reduced_schema(item) for item in cast("list[Any]", value)] if listed else value
            if key in ("items", "additionalProperties"):
                reduced[key] = reduced_schema(value)
        elif key == "const":
            reduced["enum"] = [value]
    return reduced
