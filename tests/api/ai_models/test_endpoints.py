"""AI models over HTTP."""

from __future__ import annotations

from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI

from api.resources import Resources
from models.repositories.api_keys import ApiKeys
from models.tenancy import TenantId
from tests.api.conftest import caller

pytestmark = pytest.mark.asyncio(loop_scope="session")


def model(**more: object) -> dict[str, object]:
    return {"name": f"m-{uuid4().hex[:8]}", "provider": "openai", "model": "gpt-5-mini", **more}


async def test_model_is_added_read_replaced_and_removed(api: httpx2.AsyncClient) -> None:
    given = model(
        credential="openai", price_input=0.25, price_output="2.000001", requests_per_minute=60, fallback=["small"]
    )
    made = await api.post("/ai-models", json=given)
    assert made.status_code == 201
    known = made.json()
    assert made.headers["location"] == f"/api/v1/ai-models/{known['id']}"
    assert (known["price_input"], known["price_output"], known["price_image"]) == (0.25, 2.000001, None)
    assert (known["fallback"], known["fallback_on"], known["enabled"], known["defaults"]) == (
        ["small"],
        ["budget"],
        True,
        {},
    )
    assert (await api.get(f"/ai-models/{known['id']}")).json() == known
    assert known in (await api.get("/ai-models", params={"limit": 500})).json()["items"]
    changed = await api.put(f"/ai-models/{known['id']}", json=model(name=known["name"], defaults={"temperature": 0}))
    assert (changed.status_code, changed.json()["price_input"], changed.json()["defaults"]) == (
        200,
        None,
        {"temperature": 0},
    )
    assert (await api.delete(f"/ai-models/{known['id']}")).status_code == 204
    assert (await api.get(f"/ai-models/{known['id']}")).status_code == 404


@pytest.mark.parametrize(
    ("wrong", "path", "hint"),
    [
        ({"provider": "opnai"}, "body.provider", "openai_compatible"),
        ({"provider": "openai_compatible"}, "body", "base_url"),
        ({"base_url": "ftp://host"}, "body.base_url", "http"),
        ({"base_url": "http://user:secret@host"}, "body.base_url", "credential"),
        ({"price_input": -1}, "body.price_input", "greater"),
        ({"price_output": "NaN"}, "body.price_output", "finite"),
        ({"requests_per_minute": 0}, "body.requests_per_minute", "greater"),
        ({"concurrency": 1.5}, "body.concurrency", "integer"),
        ({"defaults": {"temprature": 1}}, "body.defaults", "temperature"),
        ({"defaults": {"options": 3}}, "body.defaults", "object"),
        ({"fallback_on": ["always"]}, "body.fallback_on[0]", "budget"),
        ({"name": "self", "fallback": ["self"]}, "body", "fallback"),
        ({"name": ""}, "body.name", "character"),
        ({"prise": 1}, "body.prise", "no such key"),
    ],
)
async def test_wrong_model_is_refused_with_the_place_and_what_would_be_right(
    api: httpx2.AsyncClient, wrong: dict[str, object], path: str, hint: str
) -> None:
    answer = await api.post("/ai-models", json=model(**wrong))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    [issue] = answer.json()["issues"]
    assert issue["path"] == path
    assert hint in issue["message"]


async def test_taken_name_is_a_conflict(api: httpx2.AsyncClient) -> None:
    first, second = model(), model()
    await api.post("/ai-models", json=first)
    made = (await api.post("/ai-models", json=second)).json()
    assert (await api.post("/ai-models", json=first)).json()["code"] == "NAME_TAKEN"
    renamed = await api.put(f"/ai-models/{made['id']}", json={**second, "name": first["name"]})
    assert (renamed.status_code, renamed.json()["code"]) == (409, "NAME_TAKEN")


async def test_another_tenants_model_is_not_there(api: httpx2.AsyncClient, stranger: httpx2.AsyncClient) -> None:
    made = (await api.post("/ai-models", json=model())).json()
    for answer in (
        await stranger.get(f"/ai-models/{made['id']}"),
        await stranger.put(f"/ai-models/{made['id']}", json=model()),
        await stranger.delete(f"/ai-models/{made['id']}"),
    ):
        assert answer.status_code == 404
    assert made["id"] not in [item["id"] for item in (await stranger.get("/ai-models")).json()["items"]]
    assert (await stranger.post("/ai-models", json=model(name=made["name"]))).status_code == 201


async def test_key_without_the_scope_may_not_change_models(
    app: FastAPI, resources: Resources, tenant: TenantId
) -> None:
    _, secret = await ApiKeys(resources.database).create(tenant, "reader", scopes=("ai_model:read",))
    async with caller(app, secret) as reader:
        assert (await reader.get("/ai-models")).status_code == 200
        assert (await reader.post("/ai-models", json=model())).status_code == 403
        assert (await reader.get("/budgets")).status_code == 403
        assert (await reader.get("/usage")).status_code == 403
