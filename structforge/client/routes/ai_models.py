"""Routes of ai models. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from typing import Any, Literal

from structforge.client.calls import Call, Id, call, key, listing, part
from structforge.client.models.ai_models import AiModelReply
from structforge.client.shapes import Page
from structforge.client.unset import UNSET, Unset


class AiModelsRoutes:
    """Routes of ai models."""

    @listing
    def list_ai_models(self, *, cursor: str | None = None, limit: int | None = None) -> Call[Page[AiModelReply]]:
        """The tenant's models, newest first. Those of the operator's file are not among them."""
        return Call("GET", "/api/v1/ai-models", Page[AiModelReply], params={"cursor": cursor, "limit": limit})

    @call
    def create_ai_model(
        self,
        name: str,
        provider: str,
        model: str,
        *,
        base_url: str | Unset | None = UNSET,
        credential: str | Unset | None = UNSET,
        defaults: dict[str, Any] | Unset = UNSET,
        price_input: float | str | Unset | None = UNSET,
        price_output: float | str | Unset | None = UNSET,
        price_image: float | str | Unset | None = UNSET,
        requests_per_minute: int | Unset | None = UNSET,
        tokens_per_minute: int | Unset | None = UNSET,
        concurrency: int | Unset | None = UNSET,
        fallback: list[str] | Unset = UNSET,
        fallback_on: list[Literal["budget", "error"]] | Unset = UNSET,
        enabled: bool | Unset = UNSET,
        idempotency_key: str | None = None,
    ) -> Call[AiModelReply]:
        """Add a model. 409 if the name is taken."""
        return Call(
            "POST",
            "/api/v1/ai-models",
            AiModelReply,
            headers={"Idempotency-Key": key(idempotency_key)},
            body={
                "name": name,
                "provider": provider,
                "model": model,
                "base_url": base_url,
                "credential": credential,
                "defaults": defaults,
                "price_input": price_input,
                "price_output": price_output,
                "price_image": price_image,
                "requests_per_minute": requests_per_minute,
                "tokens_per_minute": tokens_per_minute,
                "concurrency": concurrency,
                "fallback": fallback,
                "fallback_on": fallback_on,
                "enabled": enabled,
            },
        )

    @call
    def get_ai_model(self, model_id: Id) -> Call[AiModelReply]:
        """One model."""
        return Call("GET", f"/api/v1/ai-models/{part(model_id)}", AiModelReply)

    @call
    def replace_ai_model(
        self,
        model_id: Id,
        name: str,
        provider: str,
        model: str,
        *,
        base_url: str | Unset | None = UNSET,
        credential: str | Unset | None = UNSET,
        defaults: dict[str, Any] | Unset = UNSET,
        price_input: float | str | Unset | None = UNSET,
        price_output: float | str | Unset | None = UNSET,
        price_image: float | str | Unset | None = UNSET,
        requests_per_minute: int | Unset | None = UNSET,
        tokens_per_minute: int | Unset | None = UNSET,
        concurrency: int | Unset | None = UNSET,
        fallback: list[str] | Unset = UNSET,
        fallback_on: list[Literal["budget", "error"]] | Unset = UNSET,
        enabled: bool | Unset = UNSET,
    ) -> Call[AiModelReply]:
        """Put other fields in place of all there were; calls that begin from now on use them. 409 if the name is
        taken.
        """
        return Call(
            "PUT",
            f"/api/v1/ai-models/{part(model_id)}",
            AiModelReply,
            body={
                "name": name,
                "provider": provider,
                "model": model,
                "base_url": base_url,
                "credential": credential,
                "defaults": defaults,
                "price_input": price_input,
                "price_output": price_output,
                "price_image": price_image,
                "requests_per_minute": requests_per_minute,
                "tokens_per_minute": tokens_per_minute,
                "concurrency": concurrency,
                "fallback": fallback,
                "fallback_on": fallback_on,
                "enabled": enabled,
            },
        )

    @call
    def delete_ai_model(self, model_id: Id) -> Call[None]:
        """Remove a model; what it was used for stays on record."""
        return Call("DELETE", f"/api/v1/ai-models/{part(model_id)}", type(None))
