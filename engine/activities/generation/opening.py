"""The model port of a worker process, with all that it needs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from engine.activities.clients.ai.registry import AiProviders
from engine.activities.clients.rate_limits import RateLimits
from engine.activities.generation.budgeting import Ledger
from engine.activities.generation.catalogue import ModelCatalogue, ModelFile
from engine.activities.generation.models import Credentials, Models
from engine.nodes.outbound.addresses import HttpPolicy
from engine.settings import Settings
from models.session import Database


@asynccontextmanager
async def open_models(settings: Settings, database: Database, credentials: Credentials) -> AsyncGenerator[Models]:
    """Closed at the end, when what is still to be written to the ledger has been."""
    async with AsyncExitStack() as stack:
        providers = AiProviders(HttpPolicy(allowed_hosts=settings.http.allowed_hosts))
        stack.push_async_callback(providers.aclose)
        url = settings.redis.url
        models = Models(
            ModelCatalogue(database, ModelFile(settings.ai_models_file)),
            Ledger(database),
            RateLimits(None if url is None else url.get_secret_value()),
            providers,
            credentials,
        )
        stack.push_async_callback(models.close)
        yield models
