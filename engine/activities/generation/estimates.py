"""What a call may use at most, before it is made, and what it cost, after."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from engine.nodes.generation.port import EmbeddingRequest, GenerationRequest, ImageRequest, Usage
from engine.nodes.generation.tokens import estimated_input_tokens, estimated_tokens
from models.repositories.ai_models import ModelFields

AnyRequest = GenerationRequest | ImageRequest | EmbeddingRequest
MILLION = Decimal(1_000_000)
USUAL_OUTPUT_TOKENS = 4096  # of an answer that nobody bounds; where a budget applies, it is bounded to that
IMAGE_TOKENS = 8000  # of a picture that is paid for by tokens
# `tokens` estimates what texts usually have. Digits, code and some scripts have up to twice as many, and room that is
# reserved must be enough.
_MARGIN = 2


@dataclass(frozen=True, slots=True)
class Estimate:
    """The most that a call may use. `cost` None: the model has no price for it. `requests` are calls over the wire."""

    input_tokens: int
    output_tokens: int
    cost: Decimal | None
    requests: int = 1

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


def estimate_of(request: AnyRequest, model: ModelFields, most_texts: int) -> Estimate:
    """The most that the request may use; `most_texts` is how many texts the provider takes in one call."""
    if isinstance(request, GenerationRequest):
        given = _MARGIN * estimated_input_tokens(request)
        made, images, requests = request.max_tokens or USUAL_OUTPUT_TOKENS, 0, 1
    elif isinstance(request, ImageRequest):
        given = _MARGIN * estimated_tokens([request.prompt])
        made, images, requests = 0, request.count, 1
        if model.price_image is None:
            made = IMAGE_TOKENS * request.count
    else:
        given = _MARGIN * estimated_tokens(request.texts)
        made, images, requests = 0, 0, math.ceil(len(request.texts) / max(1, most_texts))
    return Estimate(given, made, cost_of(Usage(given, made), model, images), max(1, requests))


def cost_of(usage: Usage, model: ModelFields, images: int = 0) -> Decimal | None:
    """Money for tokens and images; None if the model has no price for something that was used."""
    cost = Decimal(0)
    for amount, price in (
        (Decimal(usage.input_tokens) / MILLION, model.price_input),
        (Decimal(usage.output_tokens) / MILLION, model.price_output),
        (Decimal(images), model.price_image),
    ):
        if amount and price is not None:
            cost += amount * price
    return cost if _is_priced(usage, model, images) else None


def _is_priced(usage: Usage, model: ModelFields, images: int) -> bool:
    """Pictures are paid for each, by their tokens, or both; anything else by its tokens."""
    if images:
        return model.price_image is not None or model.price_output is not None
    unpriced_input = usage.input_tokens > 0 and model.price_input is None
    unpriced_output = usage.output_tokens > 0 and model.price_output is None
    return not (unpriced_input or unpriced_output)
