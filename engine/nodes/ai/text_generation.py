"""AI: text, or data of a given shape, for one prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from engine.errors import Issue
from engine.nodes.base import NodeContext, NodeResult, node
from engine.nodes.generation.answers import schema_param_issues
from engine.nodes.generation.asking import Attempt, ask
from engine.nodes.generation.params import ModelResult, SamplingParams, usage_output
from engine.nodes.generation.port import FinishReason, GenerationRequest, Message


class TextGenerationParams(SamplingParams):
    """Have an AI model write text for a prompt, or data that satisfies a JSON Schema.

    With `response_schema` the output has `data`, else `text`. An answer that is no JSON or does not satisfy the schema
    is shown to the model with its faults and asked for again; if it stays invalid, the node fails with INVALID_ANSWER.
    A text that `max_tokens` cut off has `finish_reason` length.
    """

    prompt: str = Field(min_length=1, description="What the model is asked")
    system_prompt: str = Field(default="", description="What it is told beforehand: its task, tone and bounds")


class TextGenerationResult(ModelResult):
    text: str | None = Field(default=None, description="The answer, without `response_schema`")
    data: Any = Field(default=None, description="The answer as data that satisfies `response_schema`")
    finish_reason: FinishReason = Field(description="stop; length: cut off; other")


def _check(raw: Mapping[str, Any], path: str) -> list[Issue]:
    return schema_param_issues(raw.get("response_schema"), f"{path}.response_schema")


@node(
    "text_generation",
    category="ai",
    kind="io",
    icon="sparkles",
    default_timeout_s=120.0,
    result=TextGenerationResult,
    check=_check,
    examples=[
        {
            "title": "Summarize a text",
            "params": {
                "model": "writer",
                "system_prompt": "You summarize support tickets in one sentence.",
                "prompt": "{{ input.ticket }}",
                "max_tokens": 200,
            },
        },
        {
            "title": "Data of a given shape",
            "params": {
                "model": "writer",
                "prompt": "How urgent is this ticket, and what is it about?\n\n{{ input.ticket }}",
                "temperature": 0,
                "response_schema": {
                    "type": "object",
                    "properties": {
                        "urgency": {"type": "integer", "minimum": 1, "maximum": 5},
                        "topic": {"type": "string", "enum": ["billing", "delivery", "other"]},
                    },
                    "required": ["urgency", "topic"],
                    "additionalProperties": False,
                },
            },
        },
    ],
)
async def text_generation(params: TextGenerationParams, context: NodeContext) -> NodeResult:
    request = GenerationRequest(
        messages=[Message("user", (params.prompt,))],
        system=params.system_prompt,
        max_tokens=params.max_tokens,
        temperature=params.temperature,
        top_p=params.top_p,
        seed=params.seed,
        stop=params.stop,
        schema=params.response_schema,
    )
    asked = await ask(Attempt(context, params), request, params.max_reasks)
    generation = asked.generation
    answer = {"text": generation.text} if params.response_schema is None else {"data": asked.data}
    return NodeResult(
        {
            **answer,
            "finish_reason": generation.finish_reason,
            "usage": usage_output(asked.usage),
            "model": generation.model,
            "provider": generation.provider,
        }
    )
