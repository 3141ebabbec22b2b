"""A start by the API names a trigger and gives what the outside world would give."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.api.conftest import document

pytestmark = pytest.mark.asyncio(loop_scope="session")
NODES: list[dict[str, Any]] = [
    {"id": "nightly", "type": "timer", "params": {"cron": "@daily", "input": {"kind": "night"}}},
    {"id": "told", "type": "event", "params": {"event_type": "order.created"}},
    {"id": "seen", "type": "transform", "params": {"mapping": "{{ input }}"}},
]
EDGES = [{"source": name, "target": "seen"} for name in ("call", "nightly", "told")]


async def start(api: httpx2.AsyncClient, trigger: str, given: Any) -> httpx2.Response:
    call = {"id": "call", "type": "webhook", "params": {"path": f"orders/{uuid4().hex}"}}
    made = await api.post("/workflows", json={"document": document(nodes=[call, *NODES], edges=EDGES, inputs={})})
    assert made.status_code == 201, made.text
    body = {"trigger": trigger, "input": given}
    return await api.post(f"/workflows/{made.json()['id']}/execute?mode=sync&wait_s=20", json=body)


async def test_a_webhook_is_given_its_call(api: httpx2.AsyncClient, worker: None) -> None:
    ended = (await start(api, "call", {"body": {"id": 7}})).json()
    seen = ended["output"]["seen"]
    call = {"method": "POST", "path": seen["path"], "query": {}, "headers": {}, "body": {"id": 7}}
    assert (ended["status"], seen) == ("success", call)
    assert seen["path"].startswith("orders/")
    assert ended["nodes"] == {"success": 2, "pruned": 2}  # the trigger that fired and what follows it


async def test_a_timer_fires_now(api: httpx2.AsyncClient, worker: None) -> None:
    seen = (await start(api, "nightly", None)).json()["output"]["seen"]
    assert seen["kind"] == "night"
    assert seen["scheduled_at"] == seen["fired_at"]


async def test_an_event_is_given_its_data(api: httpx2.AsyncClient, worker: None) -> None:
    seen = (await start(api, "told", {"data": {"id": 7}})).json()["output"]["seen"]
    assert (seen["type"], seen["source"], seen["data"]) == ("order.created", "manual", {"id": 7})


async def test_what_the_trigger_cannot_give_is_refused_with_its_place(api: httpx2.AsyncClient) -> None:
    answer = await start(api, "call", {"bdy": {"id": 7}})
    assert answer.status_code == 422
    (issue,) = answer.json()["issues"]
    assert (issue["code"], issue["path"], issue["hint"]) == ("UNKNOWN_KEY", "input.bdy", "did you mean body?")
