"""The model port over a real PostgreSQL, a real Valkey and the loopback server of AI models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from engine.activities.clients.ai.registry import AiProviders
from engine.activities.clients.credentials import open_credentials
from engine.activities.clients.rate_limits import RateLimits
from engine.activities.generation.budgeting import Ledger
from engine.activities.generation.catalogue import ModelCatalogue, ModelFile
from engine.activities.generation.models import Models
from engine.nodes.generation.port import Call
from engine.nodes.outbound.addresses import HttpPolicy
from engine.nodes.outbound.client import HttpClient
from engine.settings import Settings, load_settings
from models.repositories.ai_models import AiModels, ModelFields
from models.session import Database
from models.tenancy import TenantId
from tests.ai_server import AiServer, running_ai_server
from tests.models.server import PostgresServer, ValkeyServer

CREDENTIALS = """
row: {type: bearer, token: key-of-the-row}
"""


class Bench:
    """Two workers' model ports, and one tenant's models on the loopback server."""

    def __init__(self, server: AiServer, database: Database, tenant: TenantId, workers: list[Models]) -> None:
        self.server = server
        self.database = database
        self.tenant = tenant
        self.workers = workers
        self.workflow, self.execution = uuid4(), uuid4()

    @property
    def models(self) -> Models:
        return self.workers[0]

    async def add(self, name: str, **more: Any) -> ModelFields:
        """A row of a model that the server answers as; it costs 1 for a million tokens in and 2 for a million out."""
        known: dict[str, Any] = {
            "provider": "openai",
            "model": name,
            "base_url": self.server.openai_url,
            "credential": "row",
            "price_input": Decimal(1),
            "price_output": Decimal(2),
            "price_image": Decimal(1),
        }
        fields = ModelFields(name=name, **{**known, **more})
        await AiModels(self.database).create(self.tenant, fields)
        return fields

    def call(self, model: str, **more: Any) -> Call:
        """A call by a node of its own."""
        call = Call(
            tenant=str(self.tenant),
            execution_id=str(self.execution),
            workflow_id=str(self.workflow),
            node_path=f"n{uuid4().hex[:8]}",
            iteration=(),
            generation=0,
            attempt=1,
            model=model,
        )
        return replace(call, **more)

    async def rows(self) -> list[dict[str, Any]]:
        """The ledger of this tenant, oldest first."""
        async with self.database.transaction(self.tenant) as transaction:
            rows = await transaction.fetch("SELECT * FROM ai_call WHERE tenant_id = $1 ORDER BY id", self.tenant.uuid)
        return [dict(row) for row in rows]


@pytest.fixture
def models_file(tmp_path: Path) -> Path:
    return tmp_path / "ai-models.yaml"


@pytest.fixture
def credentials_settings(tmp_path: Path) -> Settings:
    path = tmp_path / "credentials.yaml"
    path.write_text(CREDENTIALS)
    path.chmod(0o600)
    return load_settings(data_dir=tmp_path)


@pytest_asyncio.fixture
async def http() -> AsyncIterator[HttpClient]:
    async with HttpClient(HttpPolicy(allowed_hosts=["127.0.0.0/8"])) as client:
        yield client


@pytest_asyncio.fixture
async def ai_server() -> AsyncIterator[AiServer]:
    async with running_ai_server() as running:
        yield running


@pytest_asyncio.fixture
async def providers() -> AsyncIterator[AiProviders]:
    opened = AiProviders(HttpPolicy(allowed_hosts=["127.0.0.0/8"]))
    yield opened
    await opened.aclose()


@pytest.fixture
def open_port(
    models_file: Path, credentials_settings: Settings, providers: AiProviders, valkey: ValkeyServer, http: HttpClient
) -> Callable[[Database], Models]:
    def opened(database: Database) -> Models:
        catalogue = ModelCatalogue(database, ModelFile(models_file))
        credentials = open_credentials(credentials_settings, database, http)
        return Models(catalogue, Ledger(database), RateLimits(valkey.url), providers, credentials)

    return opened


@pytest_asyncio.fixture
async def bench(
    ai_server: AiServer,
    database: Database,
    tenant: TenantId,
    postgres: PostgresServer,
    open_port: Callable[[Database], Models],
) -> AsyncIterator[Bench]:
    other = await Database.open(postgres.url("structforge_app", "structforge"), pool_size=5)
    workers = [open_port(database), open_port(other)]
    yield Bench(ai_server, database, tenant, workers)
    for worker in workers:
        await worker.close()
    await other.close()
