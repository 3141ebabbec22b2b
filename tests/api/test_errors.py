from __future__ import annotations

import httpx2
import pytest
from fastapi import APIRouter

from api.app import ROUTERS, create_app
from api.errors import status_of
from api.permissions import Permission, requires
from api.resources import Resources
from engine.errors import (
    AccessDenied,
    ConfigurationError,
    Conflict,
    NotFound,
    StructForgeError,
    SystemFault,
    TooLarge,
    Unauthenticated,
    ValidationFailed,
)
from engine.settings import Settings
from tests.api.conftest import KEY, MAX_BODY_BYTES, caller

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValidationFailed([]), 422),
        (NotFound("x"), 404),
        (Conflict("x"), 409),
        (Conflict("x", code="VERSION_CONFLICT"), 412),
        (Conflict("x", code="QUOTA_EXCEEDED"), 429),
        (AccessDenied("x"), 403),
        (Unauthenticated("x"), 401),
        (TooLarge("x"), 413),
        (SystemFault("x"), 503),
        (ConfigurationError("x"), 500),
        (StructForgeError("x"), 500),
    ],
)
async def test_each_error_has_its_status(error: StructForgeError, status: int) -> None:
    assert status_of(error) == status


def _failing(settings: Settings, resources: Resources, error: Exception) -> httpx2.AsyncClient:
    router = APIRouter()

    @router.get("/fail")
    @requires(Permission.ME_READ)
    async def fail() -> None:
        raise error

    return caller(create_app(settings, resources, routers=(*ROUTERS, router)), KEY)


async def test_an_unknown_error_tells_nothing_of_our_insides(settings: Settings, resources: Resources) -> None:
    async with _failing(settings, resources, RuntimeError("password=hunter2")) as client:
        answer = await client.get("/fail")

    assert answer.status_code == 500
    assert answer.json()["code"] == "INTERNAL"
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text


async def test_a_part_that_is_away_asks_to_come_again(settings: Settings, resources: Resources) -> None:
    async with _failing(settings, resources, SystemFault("PostgreSQL did not answer")) as client:
        answer = await client.get("/fail")

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"


async def test_an_unknown_path_and_method_are_problems_too(api: httpx2.AsyncClient) -> None:
    missing, method = await api.get("/nothing-here"), await api.put("/me")

    assert (missing.status_code, missing.json()["code"]) == (404, "NOT_FOUND")
    assert (method.status_code, method.json()["code"]) == (405, "METHOD_NOT_ALLOWED")


async def test_an_announced_body_over_the_limit_is_refused(api: httpx2.AsyncClient) -> None:
    answer = await api.post("/workflows", content=b"x" * (MAX_BODY_BYTES + 1))

    assert answer.status_code == 413
    assert answer.json()["code"] == "TOO_LARGE"


async def test_a_body_that_grows_over_the_limit_is_cut(api: httpx2.AsyncClient) -> None:
    sent = 0

    async def drip():
        nonlocal sent
        while sent < 50_000_000:
            sent += 65_536
            yield b" " * 65_536

    answer = await api.post("/workflows", content=drip(), headers={"Content-Type": "application/json"})

    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "INVALID_JSON"),
        (b"[" * 10_000, 422, "INVALID_REQUEST"),
        (b'{"unknown": 1}', 422, "INVALID_REQUEST"),
        (b'{"priority": 9}', 422, "INVALID_REQUEST"),
        (b"[]", 422, "INVALID_REQUEST"),
    ],
)
async def test_a_bad_body_is_refused_with_a_reason(
    api: httpx2.AsyncClient, body: bytes, status: int, code: str | None
) -> None:
    url = "/workflows/00000000-0000-7000-8000-000000000009/execute"
    answer = await api.post(url, content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == status
    assert code in (None, answer.json()["code"])
    assert answer.headers["content-type"] == "application/problem+json"


async def test_issues_name_the_place_in_the_request(api: httpx2.AsyncClient) -> None:
    url = "/workflows/00000000-0000-7000-8000-000000000009/execute"
    answer = await api.post(url, json={"priority": 9, "colour": "red"})

    found = {issue["path"]: issue["code"] for issue in answer.json()["issues"]}
    assert found == {"body.priority": "INVALID_VALUE", "body.colour": "UNKNOWN_KEY"}


@pytest.mark.parametrize("query", ["limit=0", "limit=9999", "cursor=%%%", "cursor=AAAA", "status=odd"])
async def test_a_bad_query_is_refused(api: httpx2.AsyncClient, query: str) -> None:
    answer = await api.get(f"/executions?{query}")

    assert answer.status_code == 422
    assert answer.json()["issues"]
