"""Parameters and results that the AI node types have in common."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from engine.nodes.base import NodeParams, ResultModel
from engine.nodes.generation.port import OnBudget, Usage


class ModelParams(NodeParams):
    model: str = Field(min_length=1, max_length=200, description="Name of a model, as this installation lists them")
    on_budget: OnBudget = Field(
        default="fail",
        description="Where a budget has no room for the call: fail; fallback: take the first of the model's fallback "
        "models that fits; approve: wait for people",
    )


class SamplingParams(ModelParams):
    """What shapes the text of an answer. What is left out is up to the model's defaults."""

    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000, description="Longest answer, in tokens")
    temperature: float | None = Field(default=None, ge=0, le=2, description="0 for the likeliest words, up to 2")
    top_p: float | None = Field(default=None, gt=0, le=1, description="Share of likely words to choose from")
    seed: int | None = Field(default=None, description="Makes answers repeatable, where the provider can")
    stop: list[str] = Field(
        default_factory=list[str], max_length=4, description="Up to four texts at which the answer ends"
    )
    response_schema: dict[str, Any] | None = Field(
        default=None,
        description="JSON Schema (draft 2020-12) of the answer, which then comes as `data`; an answer that does not "
        "satisfy it is asked for again and never goes on",
    )
    max_reasks: int = Field(default=2, ge=0, le=5, description="How often an invalid answer is asked for again")


class UsageResult(ResultModel):
    input_tokens: int = Field(description="Tokens read, all calls together")
    output_tokens: int = Field(description="Tokens written, all calls together")
    cost: float | None = Field(description="In the model's currency; null if the model has no price")


class ModelResult(ResultModel):
    usage: UsageResult = Field(description="What it took")
    model: str = Field(description="The model that answered; another than asked for after a fallback")
    provider: str = Field(description="Its provider")


def usage_output(usage: Usage) -> dict[str, Any]:
    """Usage as outputs carry it."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost": None if usage.cost is None else float(usage.cost),
    }
