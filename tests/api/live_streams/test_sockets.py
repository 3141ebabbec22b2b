from __future__ import annotations

import asyncio
import dataclasses
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from api.app import create_app
from api.resources import Resources
from models.tenancy import TenantId
from tests.api.conftest import KEY, document
from tests.api.live_streams.wires import open_wire
from tests.api.members import make_member

pytestmark = pytest.mark.asyncio(loop_scope="session")
BEARER = {"authorization": f"Bearer {KEY}"}


@pytest_asyncio.fixture(loop_scope="session")
async def ended(api: httpx2.AsyncClient, worker: None) -> str:
    """An execution that has ended."""
    answer = await api.post("/executions?mode=sync&wait_s=60", json={"document": document()})
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


async def test_a_socket_tells_what_the_other_stream_does_and_closes_at_the_end(app: FastAPI, ended: str) -> None:
    async with open_wire(app, f"/executions/{ended}/ws", BEARER) as wire:
        frames = await wire.frames()
    assert wire.code == 1000
    assert [frame["event"] for frame in frames] == [
        "node.finished", "node.finished", "execution.finished", "end",
    ]  # fmt: skip
    assert sorted(frame["data"]["path"] for frame in frames[:2]) == ["double", "start"]
    assert frames[-1]["data"]["reason"] == "finished"

    async with open_wire(app, f"/executions/{ended}/ws?last_event_id={frames[0]['id']}", BEARER) as wire:
        assert [frame["id"] for frame in await wire.frames()][:2] == [frames[1]["id"], frames[2]["id"]]


async def test_a_browser_shows_its_token_in_the_first_message(
    app: FastAPI, ended: str, resources: Resources, tenant: TenantId
) -> None:
    somebody = await make_member(resources, tenant, "admin")
    async with open_wire(app, f"/executions/{ended}/ws", {"host": "api", "origin": "http://api"}) as wire:
        await wire.say({"token": somebody.token})
        assert (await wire.frames())[-1]["event"] == "end"


@pytest.mark.parametrize(
    ("path", "headers", "first", "code"),
    [
        ("/executions/{id}/ws", {}, {"token": "sf_nobody"}, 4401),
        ("/executions/{id}/ws", {}, {"word": "x"}, 4401),
        ("/executions/{id}/ws", {"authorization": "Bearer sf_nobody"}, None, 401),
        ("/executions/{other}/ws", BEARER, None, 404),
        ("/executions/none/ws", BEARER, None, 422),
        ("/executions/{id}/ws?token=sf_x", BEARER, None, 422),
        ("/executions/{id}/ws?last_event_id=7", BEARER, None, 422),
        ("/executions/{id}/ws?level=loud", BEARER, None, 422),
        ("/executions/{id}/ws", BEARER | {"host": "api", "origin": "https://elsewhere.test"}, None, 403),
        ("/events/ws", {}, {"token": "sf_nobody"}, 4401),
    ],
)
async def test_who_may_not_is_refused_with_a_reason(
    app: FastAPI, ended: str, path: str, headers: dict[str, str], first: Any, code: int
) -> None:
    async with open_wire(app, path.format(id=ended, other=uuid4()), headers) as wire:
        if first is not None:
            await wire.say(first)
        await wire.frames()
    assert wire.code == code
    assert wire.problem["code"] if code < 1000 else wire.seen[-1]["data"]["code"]


async def test_pages_of_allowed_origins_may_open_one(app: FastAPI, resources: Resources, ended: str) -> None:
    allowing = resources.settings.override({"live": {"allowed_origins": ["https://elsewhere.test"]}})
    own = create_app(allowing, dataclasses.replace(resources, settings=allowing))
    headers = BEARER | {"host": "api", "origin": "https://elsewhere.test"}
    async with open_wire(own, f"/executions/{ended}/ws", headers) as wire:
        assert (await wire.frames())[-1]["event"] == "end"


async def test_the_tenants_socket_tells_of_what_begins_later(
    app: FastAPI, api: httpx2.AsyncClient, worker: None
) -> None:
    async with open_wire(app, "/events/ws?wait_s=30", BEARER) as wire:
        await wire.opened()
        started = await api.post("/executions?mode=sync&wait_s=60", json={"document": document()})
        execution_id = started.json()["id"]
        found: list[str] = []
        async with asyncio.timeout(30):
            while "execution.finished" not in found:
                frame = await wire.frame()
                assert frame is not None
                if frame["data"].get("execution_id") == execution_id:
                    found.append(frame["event"])
    assert found.count("node.finished") == 2
