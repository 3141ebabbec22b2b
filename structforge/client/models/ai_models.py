"""Bodies of ai models. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from structforge.client.shapes import ReplyModel


class AiModelReply(ReplyModel):
    """An AI model. Prices are money for a million tokens, and for an image; null is not known."""

    id: UUID
    name: str
    provider: str
    model: str
    base_url: str | None
    credential: str | None
    defaults: dict[str, Any]
    price_input: float | None
    price_output: float | None
    price_image: float | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrency: int | None
    fallback: list[str]
    fallback_on: list[str]
    enabled: bool
    created_at: datetime
    updated_at: datetime
