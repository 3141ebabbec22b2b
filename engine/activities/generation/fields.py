"""What people say about an AI model, checked: in a request of the API, or in the operator's file."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from engine.activities.clients.ai.registry import known_providers
from engine.errors import NodeError
from engine.nodes.generation.defaults import DEFAULTS
from engine.nodes.outbound.targets import parse_url
from models.repositories.ai_models import ModelFields

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Price = Annotated[Decimal, Field(ge=0, le=1_000_000, max_digits=20, decimal_places=12)]
Bound = Annotated[int, Field(ge=1, le=2_000_000_000)]


class AiModelFields(BaseModel):
    """An AI model. All prices of a tenant are in one currency; a price that is left out is not known, 0 is free."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(description="What workflows call it")
    provider: Name = Field(description="openai, openai_compatible, gemini, ollama, or an installed one")
    model: Name = Field(description="The provider's name for it")
    base_url: str | None = Field(
        default=None, max_length=2000, description="Where it is served; else the provider's own"
    )
    credential: Name | None = Field(default=None, description="Name of a credential of type bearer or api_key")
    defaults: dict[str, Any] = Field(
        default_factory=dict[str, Any], description="What requests leave open: " + ", ".join(sorted(DEFAULTS))
    )
    price_input: Price | None = Field(default=None, description="Money for a million input tokens")
    price_output: Price | None = Field(default=None, description="Money for a million output tokens")
    price_image: Price | None = Field(default=None, description="Money for an image, beside its tokens")
    requests_per_minute: Bound | None = Field(default=None, description="Most calls a minute, of all workers together")
    tokens_per_minute: Bound | None = Field(default=None, description="Most tokens a minute, of all workers together")
    concurrency: Bound | None = Field(default=None, description="Most calls at the same time, of all workers together")
    fallback: list[Name] = Field(
        default_factory=list[str], max_length=10, description="Models to try in its place, in order"
    )
    fallback_on: list[Literal["budget", "error"]] = Field(
        default=["budget"], description="When: no budget left (and the node allows it), or the provider fails"
    )
    enabled: bool = Field(default=True, description="Whether it may be called")

    @field_validator("provider")
    @classmethod
    def _is_installed(cls, value: str) -> str:
        known = known_providers()
        if value not in known:
            raise ValueError(f"there is no AI provider {value!r}: known are {', '.join(sorted(known))}")
        return value

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                parse_url(value)
            except NodeError as error:
                raise ValueError(error.message) from None
        return value

    @field_validator("defaults")
    @classmethod
    def _are_known(cls, value: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(value.keys() - DEFAULTS)
        if unknown:
            raise ValueError(f"unknown defaults {', '.join(unknown)}: known are {', '.join(sorted(DEFAULTS))}")
        if not isinstance(value.get("options", {}), dict):
            raise ValueError("options must be an object")
        return value

    @model_validator(mode="after")
    def _does_not_fall_back_on_itself(self) -> AiModelFields:
        if self.name in self.fallback:
            raise ValueError("a model cannot be its own fallback")
        if self.provider == "openai_compatible" and self.base_url is None:
            raise ValueError("an openai_compatible model needs a base_url")
        return self

    def as_fields(self) -> ModelFields:
        """The same for the repository."""
        return ModelFields(**self.model_dump())
