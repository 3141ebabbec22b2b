"""AI: the next turn of a conversation, with tools and images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from pydantic import Field, field_validator

from engine.errors import INVALID_CONFIG, Issue, NodeError
from engine.nodes.base import NodeContext, NodeResult, ResultModel, node
from engine.nodes.generation.answers import schema_param_issues
from engine.nodes.generation.asking import Asked, Attempt, ask
from engine.nodes.generation.conversation import GivenCall, ToolParam, Turn, call_output, messages_of, system_of
from engine.nodes.generation.params import ModelResult, SamplingParams, usage_output
from engine.nodes.generation.port import FinishReason, GenerationRequest


class ChatParams(SamplingParams):
    """Have an AI model take the next turn of a conversation.

    The output's `message` can stand in the `messages` of the next chat node as it is. With `tools`, the model may ask
    for calls instead of answering: they stand in `message.tool_calls`, checked against each tool's `parameters`, and
    their results go back as messages of the role tool. Calls and answers that are invalid are asked for again.
    """

    messages: list[Turn] = Field(
        min_length=1,
        description="The conversation so far: {role: system, user or assistant, content}, {role: tool, tool_call_id, "
        'content}; the content of a user is text or a list of {"type": "text", "text"} and {"type": "image", "image"}',
    )
    system_prompt: str = Field(default="", description="What the model is told beforehand")
    tools: list[ToolParam] = Field(
        default_factory=list[ToolParam], max_length=128, description="Functions that the model may ask to be called"
    )
    tool_choice: Literal["auto", "none", "required"] = Field(
        default="auto", description="Whether the model may (auto), must not (none) or must (required) call a tool"
    )

    @field_validator("tools", mode="after")
    @classmethod
    def _distinct(cls, value: list[ToolParam]) -> list[ToolParam]:
        names = [tool.name for tool in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two tools are called {twice[0]}")
        return value


class ChatMessage(ResultModel):
    role: Literal["assistant"] = Field(description="assistant")
    content: str | None = Field(description="The text; null if there is none")
    tool_calls: list[GivenCall] | None = Field(
        default=None, description="Calls that the model wants: {id, name, arguments}"
    )


class ChatResult(ModelResult):
    message: ChatMessage = Field(description="The model's turn")
    text: str | None = Field(default=None, description="Its text, without `response_schema`")
    data: Any = Field(default=None, description="The answer as data that satisfies `response_schema`")
    finish_reason: FinishReason = Field(description="stop; tool_calls: it wants tools called; length: cut off; other")


def _check(raw: Mapping[str, Any], path: str) -> list[Issue]:
    issues = schema_param_issues(raw.get("response_schema"), f"{path}.response_schema")
    tools = raw.get("tools")
    for index, tool in enumerate(cast("Sequence[Any]", tools) if isinstance(tools, list) else ()):
        if isinstance(tool, dict):
            schema = cast("dict[str, Any]", tool).get("parameters")
            issues += schema_param_issues(schema, f"{path}.tools[{index}].parameters")
    return issues


@node(
    "chat",
    category="ai",
    kind="io",
    icon="message-circle",
    default_timeout_s=120.0,
    result=ChatResult,
    check=_check,
    examples=[
        {
            "title": "Go on with a conversation",
            "params": {
                "model": "writer",
                "system_prompt": "You are the help desk of a bicycle shop.",
                "messages": [
                    {"role": "user", "content": "Do you repair e-bikes?"},
                    {"role": "assistant", "content": "Yes, all makes."},
                    {"role": "user", "content": "{{ input.question }}"},
                ],
            },
        },
        {
            "title": "Let the model choose a tool",
            "params": {
                "model": "writer",
                "messages": [{"role": "user", "content": "{{ input.question }}"}],
                "tools": [
                    {
                        "name": "find_order",
                        "description": "Look an order up by its number",
                        "parameters": {
                            "type": "object",
                            "properties": {"number": {"type": "integer"}},
                            "required": ["number"],
                        },
                    }
                ],
            },
        },
        {
            "title": "Ask about an image",
            "params": {
                "model": "seer",
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "What is on this picture?"},
                            {"type": "image", "image": "{{ nodes.draw.output.images[0] }}"},
                        ],
                    }
                ],
            },
        },
    ],
)
async def chat(params: ChatParams, context: NodeContext) -> NodeResult:
    messages = await messages_of(params.messages, context)
    if not messages:
        raise NodeError("the conversation has only system messages: add one of a user", code=INVALID_CONFIG)
    request = GenerationRequest(
        messages=messages,
        system=system_of(params.messages, params.system_prompt),
        tools=[tool.tool() for tool in params.tools],
        tool_choice=params.tool_choice,
        max_tokens=params.max_tokens,
        temperature=params.temperature,
        top_p=params.top_p,
        seed=params.seed,
        stop=params.stop,
        schema=params.response_schema,
    )
    return NodeResult(_output(params, await ask(Attempt(context, params), request, params.max_reasks)))


def _output(params: ChatParams, asked: Asked) -> dict[str, Any]:
    generation = asked.generation
    message: dict[str, Any] = {"role": "assistant", "content": generation.text or None}
    if generation.tool_calls:
        message["tool_calls"] = [call_output(call) for call in generation.tool_calls]
    answered = params.response_schema is not None and not generation.tool_calls
    return {
        "message": message,
        **({"data": asked.data} if answered else {"text": generation.text}),
        "finish_reason": generation.finish_reason,
        "usage": usage_output(asked.usage),
        "model": generation.model,
        "provider": generation.provider,
    }
