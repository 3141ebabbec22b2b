"""A model port without rows, budgets and limits: every model is one of the loopback server's, by the real provider."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from engine.activities.clients.ai.registry import AiProviders
from engine.nodes.generation.port import (
    Call,
    EmbeddingRequest,
    Embeddings,
    Generation,
    GenerationRequest,
    ImageRequest,
    Images,
    ModelConnection,
)
from engine.nodes.outbound.addresses import HttpPolicy
from tests.ai_server import AiServer, running_ai_server


class DirectModels:
    """`calls` are those that the nodes made."""

    def __init__(self, server: AiServer, providers: AiProviders) -> None:
        self.server = server
        self.calls: list[Call] = []
        self._providers = providers

    async def generate(self, call: Call, request: GenerationRequest) -> Generation:
        provider = await self._providers.get("openai")
        return await provider.generate(self._connection(call), request)

    async def images(self, call: Call, request: ImageRequest) -> Images:
        provider = await self._providers.get("openai")
        return await provider.images(self._connection(call), request)

    async def embed(self, call: Call, request: EmbeddingRequest) -> Embeddings:
        provider = await self._providers.get("openai")
        return await provider.embed(self._connection(call), request)

    def _connection(self, call: Call) -> ModelConnection:
        self.calls.append(call)
        return ModelConnection(
            provider="openai",
            model=call.model,
            base_url=self.server.openai_url,
            credential=call.credential or {"type": "bearer", "token": "key-of-the-row"},
            trusted=True,
        )


@asynccontextmanager
async def direct_models() -> AsyncGenerator[DirectModels]:
    providers = AiProviders(HttpPolicy())
    async with running_ai_server() as server:
        yield DirectModels(server, providers)
    await providers.aclose()
