"""AI: vectors for texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from engine.errors import INVALID_CONFIG, Issue, NodeError
from engine.nodes.base import NodeContext, NodeResult, node
from engine.nodes.generation.asking import Attempt
from engine.nodes.generation.params import ModelParams, ModelResult, usage_output
from engine.nodes.generation.port import EmbeddingRequest
from engine.nodes.param_issues import INVALID_PARAM

_EITHER = "give either text or texts"
_Text = Annotated[str, Field(min_length=1)]


class EmbeddingParams(ModelParams):
    """Turn texts into vectors by an AI model.

    Many texts are sent in as few calls as the provider allows; the vectors come in the order of the texts.
    """

    text: _Text | None = Field(default=None, description="One text")
    texts: list[_Text] | None = Field(
        default=None, max_length=100_000, description="A list of texts, instead of one; an empty list gives no vectors"
    )
    dimensions: int | None = Field(
        default=None, ge=1, le=100_000, description="Length of the vectors, where the model can shorten them"
    )

    @property
    def all_texts(self) -> list[str]:
        """Raises: NodeError INVALID_CONFIG unless exactly one of the two is there."""
        if self.text is not None and self.texts is None:
            return [self.text]
        if self.texts is not None and self.text is None:
            return self.texts
        raise NodeError(_EITHER, code=INVALID_CONFIG)


class EmbeddingResult(ModelResult):
    embeddings: list[list[float]] = Field(description="One vector for each text, in order")


def _check(raw: Mapping[str, Any], path: str) -> list[Issue]:
    given = [name for name in ("text", "texts") if raw.get(name) is not None]
    hint = "text is one text, texts a list of them"
    return [] if len(given) == 1 else [Issue(INVALID_PARAM, path, _EITHER, hint)]


@node(
    "embedding",
    category="ai",
    kind="io",
    icon="binary",
    default_timeout_s=120.0,
    result=EmbeddingResult,
    check=_check,
    examples=[
        {"title": "One text", "params": {"model": "embedder", "text": "{{ input.question }}"}},
        {
            "title": "A column of a table",
            "params": {"model": "embedder", "texts": "{{ [row.title for row in nodes.read.output.content] }}"},
        },
    ],
)
async def embedding(params: EmbeddingParams, context: NodeContext) -> NodeResult:
    attempt = Attempt(context, params)
    request = EmbeddingRequest(
        texts=params.all_texts,
        dimensions=params.dimensions,
        timeout_s=attempt.left_s(),
        idempotency_key=attempt.key(),
    )
    found = await attempt.models.embed(attempt.call(), request)
    return NodeResult(
        {
            "embeddings": list(found.vectors),
            "usage": usage_output(found.usage),
            "model": found.model,
            "provider": found.provider,
        }
    )
