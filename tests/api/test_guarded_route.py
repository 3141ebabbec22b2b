"""Who sends something is asked before it is read; a change and its audit entry are one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from api.guarded_route import GuardedRoute, defines_by, guard
from api.permissions import Permission, requires
from engine.settings import Settings
from tests.api.conftest import KEY, MAX_BODY_BYTES, caller

JSON = {"Content-Type": "application/json"}
loop = pytest.mark.asyncio(loop_scope="session")


@loop
@pytest.mark.parametrize("content", [b"{", b'{"a": 1, "a": 2}', b"\xff", b"[1]"])
async def test_malformed_bodies_of_strangers_are_answered_401(app: FastAPI, content: bytes) -> None:
    async with caller(app, None) as nobody:
        answer = await nobody.post("/workflows", content=content, headers=JSON)

    assert answer.status_code == 401


@loop
async def test_malformed_bodies_of_those_who_may_not_are_answered_403(app: FastAPI, api: httpx2.AsyncClient) -> None:
    made = await api.post("/api-keys", json={"name": f"reader-{uuid4().hex}", "scopes": ["workflow:read"]})
    async with caller(app, made.json()["key"]) as reader:
        answer = await reader.post("/workflows", content=b"{", headers=JSON)

    assert answer.status_code == 403


@loop
async def test_an_endless_body_of_a_stranger_is_refused_unread(app: FastAPI) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b" " * 65_536

    async with caller(app, None) as nobody:
        answer = await nobody.post("/workflows", content=endless(), headers=JSON)

    assert answer.status_code == 401
    assert read <= 1


@loop
async def test_an_announced_100_mb_is_refused_by_who_sends_it_first(app: FastAPI) -> None:
    headers = {**JSON, "Content-Length": "100000000"}
    statuses: list[int] = []
    for key in (None, KEY):
        async with caller(app, key) as client:
            statuses.append((await client.post("/workflows", content=b"{}", headers=headers)).status_code)

    assert statuses == [401, 413]
    assert MAX_BODY_BYTES < 100_000_000


@loop
async def test_a_change_whose_audit_entry_cannot_be_written_is_not_made(
    api: httpx2.AsyncClient, settings: Settings
) -> None:
    name = f"unaudited-{uuid4().hex}"
    assert settings.database.owner_url is not None
    owner = await asyncpg.connect(settings.database.owner_url.get_secret_value())
    await owner.execute(
        f"""CREATE FUNCTION refuse_entry() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN IF NEW.facts ->> 'name' = '{name}' THEN RAISE 'the log is full'; END IF; RETURN NEW; END $$;
            CREATE TRIGGER refuse_entry BEFORE INSERT ON audit_entry FOR EACH ROW EXECUTE FUNCTION refuse_entry()"""
    )
    try:
        answer = await api.post("/folders", json={"name": name})
    finally:
        await owner.execute("DROP TRIGGER refuse_entry ON audit_entry; DROP FUNCTION refuse_entry()")
        await owner.close()

    folders: list[dict[str, Any]] = (await api.get("/folders")).json()
    assert answer.status_code == 500
    assert name not in [folder["name"] for folder in folders]


def test_every_route_of_the_application_is_guarded(app: FastAPI) -> None:
    routes = [found.original_route for found in iter_route_contexts(app.routes)]

    assert [route.path for route in routes if isinstance(route, APIRoute) and not isinstance(route, GuardedRoute)] == []


def test_what_speaks_to_temporal_is_no_definition() -> None:
    router = APIRouter()

    @router.post("/define")
    @requires(Permission.WORKFLOW_READ, Permission.WORKFLOW_WRITE)
    async def define() -> None: ...

    @router.post("/start")
    @requires(Permission.WORKFLOW_WRITE, Permission.WORKFLOW_RUN)
    async def start() -> None: ...

    guard([router])

    assert [defines_by(endpoint) for endpoint in (define, start)] == [True, False]
