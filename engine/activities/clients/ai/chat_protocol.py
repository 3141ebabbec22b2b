"""Chat completions as OpenAI's protocol writes them: messages and tools in, whole answers and streamed pieces out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from engine.nodes.generation.pictures import as_data_url
from engine.nodes.generation.port import FinishReason, GenerationRequest, Message, Tool, ToolCall, Usage
from engine.nodes.generation.tokens import estimated_input_tokens, estimated_tokens
from engine.nodes.json_text import dump_json, parse_json

_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


def written_messages(request: GenerationRequest, system: str) -> list[dict[str, Any]]:
    written = [{"role": "system", "content": system}] if system else []
    return written + [_message(message) for message in request.messages]


def _message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id or "", "content": message.text}
    if message.role == "assistant":
        written: dict[str, Any] = {"role": "assistant", "content": message.text or None}
        if message.tool_calls:
            written["tool_calls"] = [_written_call(call) for call in message.tool_calls]
        return written
    if not message.pictures:
        return {"role": "user", "content": message.text}
    return {"role": "user", "content": [_part(part) for part in message.parts]}


def _part(part: Any) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "image_url", "image_url": {"url": as_data_url(part)}}


def _written_call(call: ToolCall) -> dict[str, Any]:
    text = call.arguments if isinstance(call.arguments, str) else dump_json(call.arguments).decode()
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": text}}


def written_tool(tool: Tool) -> dict[str, Any]:
    parameters = tool.parameters or {"type": "object", "properties": {}}
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": parameters},
    }


def is_strict(schema: Any) -> bool:
    """Whether OpenAI can hold an answer to a schema: every object is closed, every property required."""
    if isinstance(schema, list):
        return all(is_strict(member) for member in cast("list[Any]", schema))
    if not isinstance(schema, dict):
        return True
    place = cast("dict[str, Any]", schema)
    properties = place.get("properties")
    if place.get("type") == "object" or properties is not None:
        names = set(cast("dict[str, Any]", properties or {}))
        if place.get("additionalProperties") is not False or set(place.get("required", ())) != names:
            return False
    unknown = {"allOf", "oneOf", "not", "if", "patternProperties", "prefixItems", "dependentSchemas"} & place.keys()
    return not unknown and all(is_strict(member) for member in place.values())


@dataclass(slots=True)
class Answer:
    """An answer as it comes together, from one body or from many pieces."""

    text: list[str] = field(default_factory=list[str])
    refusal: list[str] = field(default_factory=list[str])
    calls: dict[int, dict[str, str]] = field(default_factory=dict[int, dict[str, str]])
    finish: str | None = None
    usage: dict[str, Any] | None = None

    def add(self, choice: dict[str, Any], delta: dict[str, Any]) -> str:
        """Take a message or a piece of one in, and give its text."""
        text = delta.get("content") or ""
        self.text.append(text)
        self.refusal.append(delta.get("refusal") or "")
        for position, call in enumerate(delta.get("tool_calls") or ()):
            self._add_call(call.get("index", position), call)
        self.finish = choice.get("finish_reason") or self.finish
        return text

    def _add_call(self, index: int, call: dict[str, Any]) -> None:
        known = self.calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        function = call.get("function") or {}
        known["id"] = call.get("id") or known["id"]
        known["name"] = function.get("name") or known["name"]
        known["arguments"] += function.get("arguments") or ""

    @property
    def tool_calls(self) -> list[ToolCall]:
        ordered = [self.calls[index] for index in sorted(self.calls)]
        return [ToolCall(call["id"], call["name"], arguments_of(call["arguments"])) for call in ordered]

    @property
    def finish_reason(self) -> FinishReason:
        if self.calls and self.finish in (None, "stop"):
            return "tool_calls"
        return _FINISH.get(self.finish or "", "other")

    def used(self, request: GenerationRequest) -> Usage:
        """The tokens that the provider counted, or as many as the texts are likely to have."""
        if self.usage is not None:
            return Usage(int(self.usage.get("prompt_tokens") or 0), int(self.usage.get("completion_tokens") or 0))
        written = [*self.text, *(call["arguments"] for call in self.calls.values())]
        return Usage(estimated_input_tokens(request), estimated_tokens(["".join(written)]))


def arguments_of(text: str) -> Any:
    """A call's arguments as data, or the text itself if it is no JSON; none at all are an empty object."""
    if not text.strip():
        return {}
    try:
        return parse_json(text)
    except ValueError:
        return text
