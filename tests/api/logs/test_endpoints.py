from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import httpx2
import orjson
import pytest

from api.resources import Resources
from models.repositories.logs import LogLine, Logs
from models.tenancy import TenantId
from tests.api.conftest import document

pytestmark = pytest.mark.asyncio(loop_scope="session")

PRINTS = {
    "id": "say",
    "type": "script",
    "params": {"script_code": "print('one')\nprint('Two 100%')\n1", "input": 1},
}
WAIT = {"id": "wait", "type": "delay", "params": {"delay": "1h"}}


async def _start(api: httpx2.AsyncClient, *nodes: dict[str, Any], wait: bool = False) -> dict[str, Any]:
    query = "?mode=sync&wait_s=20" if wait else ""
    answer = await api.post(f"/executions{query}", json={"document": document(nodes=list(nodes), edges=[])})
    assert answer.status_code in (200, 202), answer.text
    return answer.json()


async def _to_the_end(api: httpx2.AsyncClient, execution_id: str, query: str = "") -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    after = 0
    async with asyncio.timeout(60):
        while True:
            page = (await api.get(f"/executions/{execution_id}/logs?wait_s=5&after={after}{query}")).json()
            lines += page["items"]
            if page["ended"]:
                return lines
            after = page["next"]


async def test_what_a_script_prints_is_in_the_log(api: httpx2.AsyncClient, worker: None) -> None:
    execution = await _start(api, PRINTS, wait=True)
    lines = await _to_the_end(api, execution["id"])

    assert execution["status"] == "success", execution["error"]
    assert [(line["message"], line["level"], line["path"]) for line in lines] == [
        ("one", "info", "say"),
        ("Two 100%", "info", "say"),
    ]
    assert (lines[0]["attempt"], lines[0]["iteration"], lines[0]["fields"]) == (1, [], {"source": "print"})


async def test_a_log_is_narrowed_and_paged(api: httpx2.AsyncClient, worker: None) -> None:
    execution = await _start(api, PRINTS, wait=True)
    await _to_the_end(api, execution["id"])
    url = f"/executions/{execution['id']}/logs"

    async def messages(query: str) -> list[str]:
        answer = await api.get(f"{url}?{query}")
        assert answer.status_code == 200, answer.text
        return [line["message"] for line in answer.json()["items"]]

    first = (await api.get(f"{url}?limit=1")).json()
    assert [line["message"] for line in first["items"]] == ["one"]
    assert await messages(f"limit=1&after={first['next']}") == ["Two 100%"]
    assert await messages("text=two") == ["Two 100%"]
    assert await messages("level=warning") == []
    assert await messages("node=say&attempt=1") == ["one", "Two 100%"]
    assert await messages("node=other") == []
    assert await messages("to=2020-01-01T00:00:00Z") == []


async def test_why_attempts_failed_is_in_the_log(api: httpx2.AsyncClient, worker: None) -> None:
    call = {
        "id": "call",
        "type": "http",
        "params": {"method": "GET", "url": "http://127.0.0.1:9/"},  # nobody listens there
        "retry": {"interval": "10ms", "max_attempts": 2},
    }
    local = {"id": "local", "type": "transform", "params": {"mapping": "{{ 1 / 0 }}"}, "on_error": "continue"}
    execution = await _start(api, call, local, wait=True)
    lines = await _to_the_end(api, execution["id"])
    of_call = [line for line in lines if line["path"] == "call"]

    assert [(line["level"], line["attempt"]) for line in of_call] == [("warning", 1), ("error", 2)]
    assert of_call[0]["message"].startswith("attempt 1 failed, the next in 0.01 s: EXTERNAL_ERROR")
    assert [line["level"] for line in lines if line["path"] == "local"] == ["error"]


async def test_a_stream_gives_lines_as_they_come_and_says_when_it_is_over(
    api: httpx2.AsyncClient, resources: Resources, tenant: TenantId, worker: None
) -> None:
    execution_id = (await _start(api, WAIT))["id"]
    logs = Logs(resources.database)

    async def write() -> None:
        for number in range(3):
            await logs.append([LogLine(tenant, UUID(execution_id), "info", f"line {number}")])
        await api.post(f"/executions/{execution_id}/cancel")

    writing = asyncio.create_task(write())
    async with asyncio.timeout(60):
        answer = await api.get(f"/executions/{execution_id}/logs?follow=true", timeout=60)
    await writing
    events = [event.split("\n") for event in answer.text.strip().split("\n\n")]
    lines = [orjson.loads(event[1].removeprefix("data: ")) for event in events if event[0] == "event: line"]

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [line["message"] for line in lines] == ["line 0", "line 1", "line 2", "the execution was told to stop"]
    assert events[-1][0] == "event: end"
    behind = await api.get(
        f"/executions/{execution_id}/logs?follow=true", headers={"Last-Event-ID": str(lines[2]["seq"])}
    )
    assert [part for part in behind.text.split("\n") if part.startswith("event")] == ["event: line", "event: end"]


async def test_waiting_for_a_line_ends_when_one_comes(
    api: httpx2.AsyncClient, resources: Resources, tenant: TenantId, worker: None
) -> None:
    execution_id = (await _start(api, WAIT))["id"]
    waiting = asyncio.create_task(api.get(f"/executions/{execution_id}/logs?wait_s=20", timeout=30))
    await Logs(resources.database).append([LogLine(tenant, UUID(execution_id), "error", "there")])
    async with asyncio.timeout(60):
        page = (await waiting).json()
    await api.post(f"/executions/{execution_id}/cancel")

    assert [line["message"] for line in page["items"]] == ["there"]
    assert page["ended"] is False


async def test_commands_of_people_are_in_the_log(api: httpx2.AsyncClient, worker: None) -> None:
    execution_id = (await _start(api, WAIT))["id"]
    for command in ("pause", "resume", "nodes/wait/skip"):
        answer = await api.post(f"/executions/{execution_id}/{command}")
        assert answer.status_code in (200, 204), answer.text
    lines = await _to_the_end(api, execution_id)

    assert [line["message"] for line in lines] == [
        "the execution was paused",
        "the execution was resumed",
        "the node was given an output by hand",
    ]
    assert lines[2]["path"] == "wait"
    assert lines[0]["fields"]["by"]


async def test_another_tenants_log_is_not_there(
    api: httpx2.AsyncClient, stranger: httpx2.AsyncClient, worker: None
) -> None:
    execution_id = (await _start(api, PRINTS, wait=True))["id"]
    for query in ("", "?follow=true", "?wait_s=1"):
        assert (await stranger.get(f"/executions/{execution_id}/logs{query}")).status_code == 404
