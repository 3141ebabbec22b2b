"""Statistics over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.api.conftest import document

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _run(api: httpx2.AsyncClient, count: int, **more: Any) -> str:
    workflow = (await api.post("/workflows", json={"document": document(f"stats-{uuid4().hex[:8]}", **more)})).json()
    for _ in range(count):
        answer = await api.post(f"/workflows/{workflow['id']}/execute?mode=sync&wait_s=20", json={})
        assert answer.status_code == 200, answer.text
    return workflow["id"]


async def test_executions_are_counted_by_status_and_trigger(api: httpx2.AsyncClient, worker: None) -> None:
    workflow = await _run(api, 2)
    stats = (await api.get("/stats", params={"workflow": workflow})).json()
    assert (stats["executions"], stats["by_status"], stats["by_trigger"]) == (2, {"success": 2}, {"manual": 2})
    assert (stats["success_rate"], stats["complete"], stats["running"]) == (1.0, True, {})
    assert 0 < stats["duration"]["p50_ms"] <= stats["duration"]["p95_ms"]
    assert stats["failing_workflows"] == []
    assert stats["ai"]["calls"] == 0


async def test_workflows_that_fail_are_named(api: httpx2.AsyncClient, worker: None) -> None:
    broken = {"nodes": [{"id": "bad", "type": "transform", "params": {"mapping": "{{ 1 / input.n }}"}}], "edges": []}
    inputs = {"type": "object", "properties": {"n": {"type": "integer", "default": 0}}}
    workflow = await _run(api, 1, **broken, inputs=inputs)
    stats = (await api.get("/stats", params={"workflow": workflow})).json()
    assert stats["success_rate"] == 0
    (failing,) = stats["failing_workflows"]
    assert (failing["workflow_id"], failing["failed"], failing["success_rate"]) == (workflow, 1, 0)


async def test_nobody_sees_another_tenants_numbers(
    api: httpx2.AsyncClient, stranger: httpx2.AsyncClient, worker: None
) -> None:
    workflow = await _run(api, 1)
    stats = (await stranger.get("/stats", params={"workflow": workflow})).json()
    assert (stats["executions"], stats["running"]) == (0, {})
    assert stats["success_rate"] is None


async def test_a_time_is_bounded(api: httpx2.AsyncClient) -> None:
    now = datetime.now(UTC)
    for start, end in ((now, now - timedelta(hours=1)), (now - timedelta(days=93), now)):
        answer = await api.get("/stats", params={"from": start.isoformat(), "to": end.isoformat()})
        assert (answer.status_code, answer.json()["issues"][0]["path"]) == (422, "query.from")


async def test_every_answer_names_its_trace_and_a_start_the_executions(api: httpx2.AsyncClient, worker: None) -> None:
    plain = await api.get("/stats")
    assert len(bytes.fromhex(plain.headers["x-trace-id"])) == 16
    missing = await api.get("/nothing-here")
    assert len(missing.headers["x-trace-id"]) == 32
    workflow = await _run(api, 0)
    started = await api.post(f"/workflows/{workflow}/execute", json={})
    assert started.headers["x-trace-id"] == started.json()["trace_id"] == started.json()["id"].replace("-", "")
    caller = f"00-{17:032x}-{18:016x}-01"
    given = await api.post(f"/workflows/{workflow}/execute", json={}, headers={"traceparent": caller})
    assert given.json()["trace_id"] != f"{17:032x}"
    assert given.headers["x-trace-id"] == given.json()["trace_id"]
