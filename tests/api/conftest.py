"""The API in this process, over real PostgreSQL, Valkey and Temporal, and a worker for the tests that ask for one.

All of it lives in the session's event loop, so every test here runs in that one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from api.app import create_app, open_first_resources
from api.resources import Resources
from engine.settings import Settings
from models.repositories.api_keys import ApiKeys
from models.repositories.tenants import FIRST_TENANT, Tenants
from models.tenancy import TenantId, mint_tenant
from worker import build_worker, open_runtime

KEY = "sf_the-first-key-of-the-tests"
MAX_BODY_BYTES = 300_000
MAX_DOCUMENT_BYTES = 200_000


@pytest.fixture(scope="session")
def settings(engine_servers: Settings) -> Settings:
    """Settings with the addresses of servers that run, and a task queue of these tests' own."""
    return engine_servers.override(
        {
            "api": {"key": KEY, "max_body_bytes": MAX_BODY_BYTES},
            "limits": {"max_document_bytes": MAX_DOCUMENT_BYTES},
            "worker": {"task_queue": "api-tests"},
        }
    )


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def resources(settings: Settings) -> AsyncIterator[Resources]:
    async with open_first_resources(settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def app(settings: Settings, resources: Resources) -> FastAPI:
    return create_app(settings, resources)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def api(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Calls below `/api/v1` as the first tenant."""
    async with caller(app, KEY) as client:
        yield client


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stranger(app: FastAPI, resources: Resources) -> AsyncIterator[httpx2.AsyncClient]:
    """The same as another tenant."""
    tenant = mint_tenant(uuid4())
    await Tenants(resources.database).ensure(tenant, "another")
    _, secret = await ApiKeys(resources.database).create(tenant, "stranger", scopes=("*",))
    async with caller(app, secret) as client:
        yield client


@pytest.fixture(scope="session")
def tenant() -> TenantId:
    return mint_tenant(FIRST_TENANT)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def worker(settings: Settings) -> AsyncIterator[None]:
    async with open_runtime(settings) as runtime, build_worker(settings, runtime):
        yield


def caller(app: FastAPI, key: str | None) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return httpx2.AsyncClient(transport=transport, base_url="http://api/api/v1", headers=headers)


def document(name: str | None = None, **more: object) -> dict[str, object]:
    """A small valid document of a fresh name."""
    return {
        "name": name or f"w-{uuid4().hex[:12]}",
        "nodes": [
            {"id": "start", "type": "manual"},
            {"id": "double", "type": "transform", "params": {"mapping": {"twice": "{{ input.n * 2 }}"}}},
        ],
        "edges": [{"source": "start", "target": "double"}],
        "inputs": {"type": "object", "properties": {"n": {"type": "integer", "default": 1}}},
        **more,
    }
