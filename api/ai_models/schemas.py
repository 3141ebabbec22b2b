"""Bodies of the routes of AI models. What people send is `engine.activities.generation.fields.AiModelFields`."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from api.schemas import Money, Reply


class AiModelReply(Reply):
    """An AI model. Prices are money for a million tokens, and for an image; null is not known."""

    id: UUID
    name: str
    provider: str
    model: str
    base_url: str | None
    credential: str | None
    defaults: dict[str, Any]
    price_input: Money | None
    price_output: Money | None
    price_image: Money | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrency: int | None
    fallback: list[str]
    fallback_on: list[str]
    enabled: bool
    created_at: datetime
    updated_at: datetime
