from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from tests.api.conftest import document

pytestmark = pytest.mark.asyncio(loop_scope="session")

LONG_WAIT = [{"id": "wait", "type": "delay", "params": {"delay": "1h"}}, {"id": "after", "type": "transform",
              "params": {"mapping": {"got": "{{ nodes.wait.output }}"}}}]  # fmt: skip


async def _start(api: httpx2.AsyncClient, nodes: list[dict[str, Any]] = LONG_WAIT) -> str:
    edges = [{"source": "wait", "target": "after"}]
    answer = await api.post("/executions", json={"document": document(nodes=nodes, edges=edges)})
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


async def _until(api: httpx2.AsyncClient, execution_id: str, status: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            execution = (await api.get(f"/executions/{execution_id}")).json()
            if execution["status"] == status:
                return execution
            await asyncio.sleep(0.02)


async def test_a_cancelled_execution_ends_cancelled_and_takes_no_more_commands(
    api: httpx2.AsyncClient, worker: None
) -> None:
    execution_id = await _start(api)
    cancelled = await api.post(f"/executions/{execution_id}/cancel")
    ended = await _until(api, execution_id, "cancelled")

    assert cancelled.status_code == 202
    assert ended["error"]["code"] == "CANCELLED"
    for verb in ("cancel", "pause", "resume", "nodes/wait/skip", "nodes/wait/retry"):
        answer = await api.post(f"/executions/{execution_id}/{verb}")
        assert (verb, answer.status_code, answer.json()["code"]) == (verb, 409, "EXECUTION_CLOSED")


async def test_pause_and_resume_are_seen_in_the_record(api: httpx2.AsyncClient, worker: None) -> None:
    execution_id = await _start(api)
    paused = await api.post(f"/executions/{execution_id}/pause")
    resumed = await api.post(f"/executions/{execution_id}/resume")
    await api.post(f"/executions/{execution_id}/cancel")

    assert (paused.status_code, paused.json()["status"]) == (200, "paused")
    assert (resumed.status_code, resumed.json()["status"]) == (200, "running")


async def test_a_waiting_node_is_skipped_with_the_output_that_is_given(api: httpx2.AsyncClient, worker: None) -> None:
    execution_id = await _start(api)
    unknown = await api.post(f"/executions/{execution_id}/nodes/nobody/skip")
    early = await api.post(f"/executions/{execution_id}/nodes/wait/retry")
    skipped = await api.post(f"/executions/{execution_id}/nodes/wait/skip", json={"output": [1, 2]})
    ended = await _until(api, execution_id, "success")
    nodes = (await api.get(f"/executions/{execution_id}/nodes")).json()["items"]

    assert unknown.status_code == 404
    assert (early.status_code, early.json()["code"]) == (409, "NODE_NOT_WAITING")
    assert skipped.status_code == 204
    assert ended["output"] == {"after": {"got": [1, 2]}}
    assert {node["path"]: node["output"] for node in nodes} == {"after": {"got": [1, 2]}, "wait": [1, 2]}


async def test_node_executions_come_in_pages_and_by_path(api: httpx2.AsyncClient, worker: None) -> None:
    body = {"nodes": [{"id": "inner", "type": "transform", "params": {"mapping": "{{ item }}"}}]}
    nodes = [{"id": "each", "type": "loop", "params": {"loop_type": "foreach", "items": [5, 6, 7], "body": body}}]
    started = await api.post(
        "/executions?mode=sync&wait_s=20", json={"document": document(nodes=nodes, edges=[], inputs={})}
    )
    assert started.json()["status"] == "success", started.text
    url = f"/executions/{started.json()['id']}/nodes"

    seen: list[tuple[str, list[int], Any]] = []
    cursor = ""
    while True:
        page = (await api.get(f"{url}?limit=2{cursor}")).json()
        seen += [(item["path"], item["iteration"], item["output"]) for item in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    inner = (await api.get(f"{url}?path=each.body.inner&status=success")).json()["items"]

    assert [(path, its) for path, its, _ in seen] == [("each", []), *[("each.body.inner", [n]) for n in range(3)]]
    assert [item["output"] for item in inner] == [5, 6, 7]


@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("GET", ""),
        ("GET", "/nodes"),
        ("POST", "/cancel"),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/rerun"),
        ("POST", "/nodes/wait/skip"),
        ("POST", "/nodes/wait/retry"),
    ],
)
async def test_another_tenants_execution_is_not_there(
    api: httpx2.AsyncClient, stranger: httpx2.AsyncClient, method: str, rest: str
) -> None:
    execution_id = await _start(api)

    answer = await stranger.request(method, f"/executions/{execution_id}{rest}")

    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert all(item["id"] != execution_id for item in (await stranger.get("/executions")).json()["items"])


async def test_executions_are_listed_by_status_newest_first(api: httpx2.AsyncClient) -> None:
    ids = [await _start(api) for _ in range(2)]
    listed = (await api.get("/executions?status=pending,running,paused&limit=2")).json()

    assert [item["id"] for item in listed["items"]] == ids[::-1]
    assert "output" not in listed["items"][0]
