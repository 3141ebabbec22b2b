"""A model of the loopback server, asked through its real provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from engine.activities.clients.ai.registry import AiProviders
from engine.nodes.generation.port import (
    EmbeddingRequest,
    Embeddings,
    Generation,
    GenerationRequest,
    ImageRequest,
    Images,
    Message,
    ModelConnection,
)
from tests.ai_server import AiServer

PROTOCOLS = ("openai", "openai_compatible", "gemini", "ollama")
KEY = "sk-canary/4711+secret"


@dataclass(frozen=True, slots=True)
class Model:
    provider: str
    server: AiServer
    providers: AiProviders
    name: str = "model-x"

    def connection(self, **changes: Any) -> ModelConnection:
        protocol = {"openai_compatible": "openai"}.get(self.provider, self.provider)
        given: dict[str, Any] = {
            "provider": self.provider,
            "model": self.name,
            "base_url": getattr(self.server, f"{protocol}_url"),
            "credential": {"type": "bearer", "token": KEY},
        }
        return ModelConnection(**{**given, **changes})

    async def generate(self, connection: ModelConnection | None = None, **request: Any) -> Generation:
        provider = await self.providers.get(self.provider)
        asked = GenerationRequest(
            **cast("Any", {"messages": [Message("user", ("hello",))], "timeout_s": 10.0, **request})
        )
        return await provider.generate(connection or self.connection(), asked)

    async def images(self, connection: ModelConnection | None = None, **request: Any) -> Images:
        provider = await self.providers.get(self.provider)
        return await provider.images(
            connection or self.connection(), ImageRequest(**cast("Any", {"prompt": "a cat", **request}))
        )

    async def embed(self, texts: list[str], **request: Any) -> Embeddings:
        provider = await self.providers.get(self.provider)
        return await provider.embed(self.connection(), EmbeddingRequest(texts=texts, **request))
