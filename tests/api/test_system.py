from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI
from pydantic import SecretStr

from api.app import create_app
from api.resources import open_resources
from engine.settings import Settings
from tests.api.conftest import KEY, caller, document
from tests.models.server import free_port
from tests.servers.relay import Relay, relay
from tests.servers.s3 import BUCKET
from worker import interpreter_build_id

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_health_and_readiness_need_no_key(app: FastAPI) -> None:
    async with caller(app, None) as client:
        health, ready = await client.get("http://api/healthz"), await client.get("http://api/readyz")

    assert health.json()["status"] == "ok"
    assert ready.status_code == 200
    assert ready.json() == {"ready": True, "missing": [], "degraded": []}


async def test_readiness_names_what_is_missing(settings: Settings) -> None:
    away = settings.override(
        {
            "temporal": {"address": f"127.0.0.1:{free_port()}"},
            "redis": {"url": f"redis://127.0.0.1:{free_port()}/0"},
        }
    )
    async with open_resources(away) as resources, caller(create_app(away, resources), None) as client:
        answer = await client.get("http://api/readyz")

    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "missing": ["temporal"], "degraded": ["redis"]}


@dataclass(slots=True)
class Ways:
    """Ways to every server that the API stands on, each of which can be cut."""

    postgresql: Relay
    redis: Relay
    temporal: Relay
    object_store: Relay


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ways(settings: Settings, s3: str) -> AsyncIterator[Ways]:
    database, redis, temporal = settings.database.url, settings.redis.url, settings.temporal.address
    assert database
    assert redis
    assert temporal
    targets = (database.get_secret_value(), redis.get_secret_value(), f"//{temporal}", s3)
    ports = [urlsplit(target).port or 0 for target in targets]
    async with AsyncExitStack() as stack:
        yield Ways(*[await stack.enter_async_context(relay(port)) for port in ports])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def over_ways(settings: Settings, ways: Ways) -> AsyncIterator[FastAPI]:
    assert settings.database.url
    assert settings.redis.url
    there = settings.override(
        {
            "database": {"url": _by(settings.database.url, ways.postgresql)},
            "redis": {"url": _by(settings.redis.url, ways.redis)},
            "temporal": {"address": f"127.0.0.1:{ways.temporal.port}"},
            "objects": {
                "url": f"s3://{BUCKET}/test",
                "endpoint": f"http://127.0.0.1:{ways.object_store.port}",
                "region": "us-east-1",
                "access_key_id": "key",
                "secret_access_key": "secret",
            },
        }
    )
    async with open_resources(there) as resources:
        yield create_app(there, resources)


def _by(url: SecretStr, way: Relay) -> str:
    parts = urlsplit(url.get_secret_value())
    return parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{way.port}").geturl()


async def _ready(app: FastAPI) -> tuple[int, dict[str, Any]]:
    async with caller(app, None) as client:
        answer = await client.get("http://api/readyz")
    return answer.status_code, answer.json()


async def _eventually_ready(app: FastAPI) -> None:
    async with asyncio.timeout(60):
        while (await _ready(app))[1] != {"ready": True, "missing": [], "degraded": []}:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("part", ["postgresql", "temporal", "object_store", "redis"])
async def test_readiness_names_the_server_that_is_away_and_comes_back_with_it(
    over_ways: FastAPI, ways: Ways, part: str
) -> None:
    await _eventually_ready(over_ways)

    await getattr(ways, part).cut()
    status, found = await _ready(over_ways)
    await getattr(ways, part).open()
    await _eventually_ready(over_ways)

    kept = part == "redis"  # what costs liveness alone keeps no API from working
    assert (status, found["missing"], found["degraded"]) == ((200, [], ["redis"]) if kept else (503, [part], []))


async def test_readiness_tells_of_a_schema_that_is_behind(app: FastAPI, owner: asyncpg.Connection) -> None:
    known = await owner.fetchval("SELECT version_num FROM alembic_version")
    found: dict[str, list[str]] = {}
    try:
        for revision in ("0001", "of-a-later-version"):
            await owner.execute("UPDATE alembic_version SET version_num = $1", revision)
            found[revision] = (await _ready(app))[1]["missing"]
    finally:
        await owner.execute("UPDATE alembic_version SET version_num = $1", known)

    assert found == {"0001": ["schema"], "of-a-later-version": []}


@pytest_asyncio.fixture(loop_scope="session")
async def owner(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    assert settings.database.owner_url
    connection = await asyncpg.connect(settings.database.owner_url.get_secret_value())
    yield connection
    await connection.close()


@pytest.mark.usefixtures("worker")
async def test_workers_are_told_with_what_they_serve(api: httpx2.AsyncClient, settings: Settings) -> None:
    queue = settings.worker.task_queue
    async with asyncio.timeout(60):
        while not (workers := await _serving(api, queue)):  # noqa: ASYNC110
            await asyncio.sleep(0.1)

    worker = workers[0]
    assert worker["worker"] == f"{socket.gethostname()}:{os.getpid()}"
    assert worker["build_id"] == interpreter_build_id()
    assert datetime.fromisoformat(worker["last_seen_at"]) > datetime.now(UTC) - timedelta(minutes=10)


async def _serving(api: httpx2.AsyncClient, queue: str) -> list[dict[str, Any]]:
    return [one for one in (await api.get("/system/workers")).json() if _whole(one, queue)]


def _whole(worker: dict[str, Any], queue: str) -> bool:
    return {one["kind"] for one in worker["queues"] if one["queue"] == queue} == {"workflow", "activity"}


async def test_queues_tell_what_waits_for_a_worker_that_is_not_there(settings: Settings) -> None:
    lonely, tools = f"lonely-{uuid4().hex[:8]}", f"tools-{uuid4().hex[:8]}"
    served = settings.override({"worker": {"task_queue": lonely, "routes": {"tool": tools}}})
    async with open_resources(served) as resources, caller(create_app(served, resources), KEY) as client:
        workflow = (await client.post("/workflows", json={"document": document()})).json()["id"]
        assert (await client.post(f"/workflows/{workflow}/execute", json={})).status_code == 202
        async with asyncio.timeout(60):
            while not (queues := (await client.get("/system/queues")).json())[0]["workflow"]["waiting"]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        workers = (await client.get("/system/workers")).json()

    assert [(one["queue"], one["executions"]) for one in queues] == [(lonely, True), (tools, False)]
    assert (queues[0]["workflow"]["waiting"], queues[0]["workflow"]["workers"]) == (1, 0)
    assert queues[0]["workflow"]["oldest_wait_s"] >= 0
    assert queues[1]["activity"]["waiting"] == 0
    assert workers == []


async def test_the_catalogue_is_served(api: httpx2.AsyncClient) -> None:
    types = {item["type"]: item for item in (await api.get("/node-types")).json()}
    one = (await api.get("/node-types/http")).json()
    unknown = await api.get("/node-types/htpp")

    assert {"manual", "transform", "loop", "http"} <= set(types)
    assert one == types["http"]
    assert one["params_schema"]["properties"]["url"]
    assert unknown.status_code == 404
    assert "did you mean http" in unknown.json()["detail"]


async def test_the_openapi_document_describes_every_route(api: httpx2.AsyncClient) -> None:
    paths = (await api.get("/openapi.json")).json()["paths"]

    assert {"/api/v1/workflows/{workflow_id}/execute", "/api/v1/executions/{execution_id}/nodes"} <= set(paths)


async def test_an_application_without_resources_opens_its_own(settings: Settings) -> None:
    app = create_app(settings)

    async with app.router.lifespan_context(app), caller(app, KEY) as client:
        answer = await client.get("/me")

    assert (answer.status_code, answer.json()["key_name"]) == (200, "first key")
