"""Schedules over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio

from api.resources import Resources
from engine.activities.schedules.sync import ScheduleSync
from tests.api.conftest import document

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def sync(resources: Resources) -> AsyncIterator[ScheduleSync]:
    queue = resources.settings.worker.task_queue
    made = ScheduleSync(resources.database, resources.temporal, resources.values, queue)
    yield made


@pytest_asyncio.fixture(loop_scope="session")
async def workflow(api: httpx2.AsyncClient) -> str:
    made = await api.post("/workflows", json={"document": {**document(), "name": f"scheduled {uuid4()}"}})
    assert made.status_code == 201, made.text
    return made.json()["id"]


async def create(api: httpx2.AsyncClient, workflow: str, **rule: Any) -> dict[str, Any]:
    given = {"workflow_id": workflow, "name": f"s{uuid4().hex[:6]}", "input": {"n": 8}, **rule}
    answer = await api.post("/schedules", json=given)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_schedule_reads_back_as_given_changes_by_revision_and_goes(
    api: httpx2.AsyncClient, workflow: str
) -> None:
    made = await create(api, workflow, cron="0 8 * * mon", timezone="Europe/Paris", jitter="30s", max_runs=5)
    path = f"/schedules/{made['id']}"
    assert (made["cron"], made["timezone"], made["jitter_s"], made["input"]) == (
        "0 8 * * mon", "Europe/Paris", 30.0, {"n": 8},
    )  # fmt: skip
    rule = {"name": "later", "every": "15m"}
    changed = await api.put(path, json=rule, headers={"If-Match": '"1"'})
    assert (changed.status_code, changed.json()["every_s"], changed.headers["etag"]) == (200, 900.0, '"2"')
    late = await api.put(path, json=rule, headers={"If-Match": '"1"'})
    assert (late.status_code, late.json()["code"]) == (412, "VERSION_CONFLICT")
    listed = (await api.get("/schedules", params={"workflow": workflow})).json()["items"]
    assert [one["name"] for one in listed] == ["later"]
    assert (await api.delete(path)).status_code == 204
    assert (await api.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({}, "exactly one"),
        ({"cron": "0 8 * * *", "every": "1h"}, "exactly one"),
        ({"cron": "0 25 * * *"}, "cron"),
        ({"cron": "0 8 * * *", "timezone": "Mars/Base"}, "time zone"),
        ({"every": "100ms"}, "shortest"),
        ({"at": "2030-01-01T00:00:00"}, "timezone"),
        ({"every": "1h", "overlap": "maybe"}, "skip"),
        ({"every": "1h", "max_runs": 0}, "greater"),
        ({"every": "1h", "starts_at": "2030-01-02T00:00:00Z", "ends_at": "2030-01-01T00:00:00Z"}, "after"),
        ({"every": "1h", "colour": "red"}, "colour"),
        ({"every": "1h", "trigger": "nobody"}, "trigger"),
        ({"every": "1h", "name": ""}, "name"),
    ],
)
async def test_a_rule_that_cannot_hold_is_refused_with_its_reason(
    api: httpx2.AsyncClient, workflow: str, rule: dict[str, Any], words: str
) -> None:
    answer = await api.post("/schedules", json={"workflow_id": workflow, "name": "bad", **rule})
    assert answer.status_code == 422, answer.text
    assert words in answer.text


async def test_a_name_is_taken_once_for_a_workflow(api: httpx2.AsyncClient, workflow: str) -> None:
    await create(api, workflow, name="one", every="1h")
    again = await api.post("/schedules", json={"workflow_id": workflow, "name": "one", "every": "2h"})
    assert (again.status_code, again.json()["code"]) == (409, "NAME_TAKEN")


async def test_a_stranger_sees_and_changes_nothing(
    api: httpx2.AsyncClient, stranger: httpx2.AsyncClient, workflow: str
) -> None:
    path = f"/schedules/{(await create(api, workflow, every='1h'))['id']}"
    asked = [
        stranger.get(path), stranger.get(f"{path}/preview"), stranger.delete(path), stranger.post(f"{path}/pause"),
        stranger.post(f"{path}/trigger"), stranger.put(path, json={"name": "mine", "every": "1h"}),
        stranger.post("/schedules", json={"workflow_id": workflow, "name": "x", "every": "1h"}),
    ]  # fmt: skip
    assert {answer.status_code for answer in await asyncio.gather(*asked)} == {404}
    assert (await stranger.get("/schedules", params={"workflow": workflow})).json()["items"] == []


async def test_preview_gives_temporals_own_next_times_once_it_is_synced(
    api: httpx2.AsyncClient, sync: ScheduleSync, workflow: str
) -> None:
    made = await create(api, workflow, cron="0 0 1 1 *")
    path = f"/schedules/{made['id']}"
    before = (await api.get(f"{path}/preview")).json()
    assert (before["synced"], before["next"]) == (False, [])
    refused = await api.post(f"{path}/trigger")
    assert (refused.status_code, refused.json()["code"]) == (409, "NOT_SYNCED")
    await sync.sweep()
    shown = (await api.get(f"{path}/preview")).json()
    assert shown["synced"]
    assert [text[4:] for text in shown["next"][:2]] == ["-01-01T00:00:00Z"] * 2
    await api.post(f"{path}/pause")
    await sync.sweep()
    assert (await api.get(f"{path}/preview")).json()["next"] == []
    await api.delete(path)
    await sync.sweep()


async def test_a_trigger_and_a_backfill_start_executions_of_the_workflow(
    api: httpx2.AsyncClient, sync: ScheduleSync, workflow: str, worker: None
) -> None:
    made = await create(api, workflow, cron="0 12 * 3 * 2026")  # of its own accord it fires no more
    path = f"/schedules/{made['id']}"
    await sync.sweep()
    assert (await api.post(f"{path}/trigger")).status_code == 202
    span = {"start": "2026-03-01T00:00:00Z", "end": "2026-03-04T00:00:00Z"}
    for _ in range(2):
        assert (await api.post(f"{path}/backfill", json=span)).status_code == 202
    found: list[dict[str, Any]] = []
    with contextlib.suppress(TimeoutError):  # what is there by then is told below
        async with asyncio.timeout(180):
            while len(found) < 4 or any(one["status"] != "success" for one in found):
                await asyncio.sleep(0.1)
                found = (await api.get("/executions", params={"workflow_id": workflow})).json()["items"]
    started = (await api.get(f"{path}/preview")).json()
    states = [(one["status"], one["reason"], one["trigger"]) for one in found]
    assert states == [("success", None, "schedule")] * 4, started
    await api.delete(path)
    await sync.sweep()


async def test_the_schedule_of_a_timer_can_be_paused_and_follows_its_document_otherwise(
    api: httpx2.AsyncClient, sync: ScheduleSync
) -> None:
    timer = {"id": "clock", "type": "timer", "params": {"every": "1h"}}
    step = {"id": "t", "type": "transform", "params": {"mapping": 1}}
    given = {"name": f"timed {uuid4()}", "nodes": [timer, step], "edges": [{"source": "clock", "target": "t"}]}
    workflow = (await api.post("/workflows", json={"document": {"schema_version": 1, **given}})).json()["id"]
    await sync.sweep()
    (row,) = (await api.get("/schedules", params={"workflow": workflow})).json()["items"]
    path = f"/schedules/{row['id']}"
    assert (row["source"], row["trigger"], row["every_s"]) == ("timer", "clock", 3600.0)
    assert (await api.put(path, json={"name": "mine", "every": "2h"})).json()["code"] == "FOLLOWS_DOCUMENT"
    assert (await api.delete(path)).status_code == 409
    assert (await api.post(f"{path}/pause")).json()["paused"] is True
    await sync.sweep()
    assert (await api.get(f"{path}/preview")).json()["paused"] is True
    assert (await api.get(path)).json()["paused"] is True
