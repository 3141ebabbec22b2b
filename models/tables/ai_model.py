"""AI models: what workflows name, and how a worker reaches it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ARRAY, Integer, Numeric, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from models.tables.columns import created, words


def _price() -> Any:
    return Field(default=None, sa_type=Numeric, nullable=True)


def _names(default: str) -> Any:
    options = {"server_default": text(f"'{default}'")}
    return Field(sa_type=ARRAY(Text), nullable=False, sa_column_kwargs=options)  # pyright: ignore[reportArgumentType]


def _bound() -> Any:
    return Field(default=None, sa_type=Integer, nullable=True)


class AiModel(SQLModel, table=True):
    """A model of a tenant.

    `model` is the provider's name for it; `credential` names one of the operator's. `defaults` are laid under each
    request. Prices are money for a million tokens and for one image; null is unknown, 0 is free. All prices of a tenant
    are in one currency. `fallback` names other models of the tenant, in the order of trial; `fallback_on` says when
    (budget, error).
    """

    __tablename__ = cast("Any", "ai_model")
    __table_args__ = (UniqueConstraint("tenant_id", "name", name="ai_model_name_key"),)

    tenant_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    name: str = words()
    provider: str = words()
    model: str = words()
    base_url: str | None = words(nullable=True)
    credential: str | None = words(nullable=True)
    defaults: dict[str, Any] = Field(
        default_factory=dict, sa_type=JSONB, nullable=False, sa_column_kwargs={"server_default": text("'{}'")}
    )
    price_input: Decimal | None = _price()
    price_output: Decimal | None = _price()
    price_image: Decimal | None = _price()
    requests_per_minute: int | None = _bound()
    tokens_per_minute: int | None = _bound()
    concurrency: int | None = _bound()
    fallback: list[str] = _names("{}")
    fallback_on: list[str] = _names("{budget}")
    enabled: bool = Field(default=True, sa_column_kwargs={"server_default": text("true")})
    created_at: datetime = created()
    updated_at: datetime = created()
