from __future__ import annotations

import httpx2
import pytest
from fastapi import FastAPI

from api.app import create_app
from api.resources import open_resources
from engine.settings import Settings
from tests.api.conftest import KEY, caller
from tests.models.server import free_port

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
