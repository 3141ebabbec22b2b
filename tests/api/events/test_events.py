"""Events over HTTP, and what they start."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI

from api.app import create_app
from api.resources import Resources
from engine.settings import Settings
from models.repositories.api_keys import ApiKeys
from models.repositories.events import Events
from models.repositories.tenants import Tenants
from models.tenancy import TenantId, mint_tenant
from tests.api.conftest import caller
from tests.api.events.conftest import Home

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_event_starts_each_workflow_that_waits_for_its_type_with_itself_as_input(home: Home) -> None:
    exact = await home.publish_workflow("order.created", mapping={"total": "{{ input.data.total }}"})
    wide = await home.publish_workflow("order.*")
    await home.publish_workflow("order.deleted")
    event_id = await home.publish(data={"total": 7}, time="2026-01-02T03:04:05Z")
    assert (await home.event(event_id))["state"] == "waiting"

    await home.dispatcher.run_once()

    told = await home.event(event_id)
    assert (told["state"], told["type"], told["data"], told["depth"]) == ("settled", "order.created", {"total": 7}, 0)
    assert {start["workflow_id"] for start in told["starts"]} == {exact, wide}
    executions = await home.started_by(event_id)
    assert {(one.status, one.trigger, one.trigger_node) for one in executions} == {("success", "event", "heard")}
    assert executions[0].labels == {"event": event_id, "event_type": "order.created", "event_depth": 1}
    (first,) = [one for one in executions if str(one.workflow_id) == exact]
    shown = (await home.api.get(f"/executions/{first.id}")).json()
    assert shown["input"]["id"] == event_id
    assert shown["input"]["time"] == "2026-01-02T03:04:05+00:00"


async def test_event_delivered_twice_and_by_two_dispatchers_starts_one_execution(
    home: Home, resources: Resources
) -> None:
    workflow = await home.publish_workflow("order.created")
    event_id = await home.publish()
    event = await Events(resources.database).get(home.tenant, event_id)
    (trigger,) = await Events(resources.database).triggers(home.tenant, event.type, event.id)
    # As if each had died before it noted what it had started.
    answers = await asyncio.gather(*(home.opener.answer(home.tenant, event, trigger) for _ in range(5)))
    await home.dispatcher.run_once()
    async with resources.database.transaction(home.tenant) as transaction:
        await transaction.execute("UPDATE outbox SET delivered_at = NULL, next_try = now(), attempts = 0")
    await home.dispatcher.run_once()

    (start,) = (await home.event(event_id))["starts"]
    assert {str(answer and answer.execution_id) for answer in answers} == {start["execution_id"]}
    assert len(await home.of(workflow)) == 1


async def test_same_event_under_an_id_is_one_and_another_is_refused(home: Home) -> None:
    body = {"id": f"e-{uuid4()}", "type": "order.created", "source": "shop", "data": {"n": 1}}
    first, second = await asyncio.gather(*(home.api.post("/events", json=body) for _ in range(2)))
    assert [first.status_code, second.status_code] == [202, 202]
    assert sorted([first.json()["repeated"], second.json()["repeated"]]) == [False, True]
    other = await home.api.post("/events", json={**body, "data": {"n": 2}})
    assert (other.status_code, other.json()["code"]) == (409, "EVENT_ID_TAKEN")


async def test_key_of_a_request_makes_the_ids_that_are_not_given(home: Home) -> None:
    body = {"events": [{"type": "a.b", "source": "s", "data": n} for n in range(2)]}
    headers = {"Idempotency-Key": f"k-{uuid4()}"}
    first = (await home.api.post("/events/batch", json=body, headers=headers)).json()["events"]
    again = (await home.api.post("/events/batch", json=body, headers=headers)).json()["events"]
    assert [one["id"] for one in first] == [one["id"] for one in again]
    assert [one["repeated"] for one in [*first, *again]] == [False, False, True, True]


async def test_batch_is_published_whole_or_not_at_all(home: Home) -> None:
    taken, fresh = f"e-{uuid4()}", f"e-{uuid4()}"
    await home.publish(id=taken)
    events = [{"id": fresh, "type": "a", "source": "s"}, {"id": taken, "type": "a", "source": "s"}]
    answer = await home.api.post("/events/batch", json={"events": events})
    assert answer.status_code == 409
    assert (await home.api.get(f"/events/{fresh}")).status_code == 404
    too_many = await home.api.post("/events/batch", json={"events": [{"type": "a", "source": "s"}] * 101})
    assert too_many.status_code == 422


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"type": "structforge.execution.failed"}, "type"),
        ({"type": "StructForge.x"}, "type"),
        ({"type": "a..b"}, "type"),
        ({"id": "structforge:execution.failed:1"}, "id"),
        ({"id": "a/b"}, "id"),
        ({"id": "stream"}, "id"),
        ({"source": ""}, "source"),
        ({"time": "2026-01-01T00:00:00"}, "time"),
        ({"depth": 0}, "depth"),
    ],
)
async def test_event_that_is_not_valid_is_refused(home: Home, change: dict[str, object], path: str) -> None:
    answer = await home.api.post("/events", json={"type": "a.b", "source": "s", **change})
    assert answer.status_code == 422, answer.text
    assert [issue["path"].rpartition(".")[2] for issue in answer.json()["issues"]] == [path]


async def test_event_with_too_much_data_is_refused(app: FastAPI, settings: Settings, home: Home) -> None:
    answer = await home.api.post("/events", json={"type": "a", "source": "s", "data": "x" * 262_144})
    assert (answer.status_code, answer.json()["code"]) == (413, "TOO_LARGE")


async def test_tenant_publishes_so_many_events_and_no_more(settings: Settings, resources: Resources) -> None:
    tight = settings.override({"limits": {"events_per_tenant": "3/minute"}})
    bounded = replace(resources, settings=tight)
    tenant = await _tenant(resources)
    _, secret = await ApiKeys(resources.database).create(tenant, "k", scopes=("event:publish",))
    async with caller(create_app(tight, bounded), secret) as api:
        events = {"events": [{"type": "a", "source": "s"}] * 3}
        codes = [(await api.post("/events/batch", json=events)).status_code for _ in range(3)]
    assert codes.count(202) <= 1 + (datetime.now(UTC).second < 5)  # a minute may begin between them
    assert codes[-1] == 429


async def test_key_needs_the_scope_of_what_it_does(app: FastAPI, resources: Resources) -> None:
    tenant = await _tenant(resources)
    _, secret = await ApiKeys(resources.database).create(tenant, "k", scopes=("event:publish",))
    async with caller(app, secret) as api:
        answer = await api.post("/events", json={"type": "a", "source": "s"})
        assert answer.status_code == 202
        assert (await api.get(f"/events/{answer.json()['id']}")).status_code == 403


async def test_other_tenants_neither_hear_of_an_event_nor_see_it(
    home: Home, stranger: httpx2.AsyncClient, resources: Resources
) -> None:
    event_id = await home.publish(f"only.{uuid4().hex}")
    assert (await stranger.get(f"/events/{event_id}")).status_code == 404
    assert await Events(resources.database).triggers(await _tenant(resources), "order.created", "x") == []


async def test_filter_chooses_and_one_that_fails_is_noted_and_blocks_nobody(home: Home) -> None:
    large = await home.publish_workflow("order.created", event_filter="event.data.total >= 100")
    small = await home.publish_workflow("order.created", event_filter="event.data.total < 100")
    broken = await home.publish_workflow("order.created", event_filter="event.data.missing.total >= 100")
    event_id = await home.publish(data={"total": 150})
    await home.dispatcher.run_once()

    starts = {start["workflow_id"]: start for start in (await home.event(event_id))["starts"]}
    assert set(starts) == {large, broken}
    assert starts[large]["execution_id"] is not None
    assert (starts[broken]["execution_id"], starts[broken]["error"]["code"]) == (None, "EXPRESSION_ERROR")
    assert await home.of(small) == []


async def test_event_that_is_no_valid_input_is_noted(home: Home) -> None:
    inputs = {"type": "object", "properties": {"data": {"type": "object", "required": ["n"]}}}
    workflow = await home.publish_workflow("order.created", inputs=inputs)
    event_id = await home.publish(data={})
    await home.dispatcher.run_once()
    (start,) = (await home.event(event_id))["starts"]
    assert (start["workflow_id"], start["error"]["code"]) == (workflow, "INVALID_CONFIG")


async def test_triggers_follow_what_is_published_paused_archived_and_deleted(home: Home, resources: Resources) -> None:
    rows, workflow = Events(resources.database), await home.publish_workflow("order.created")

    async def patterns() -> list[tuple[str, int]]:
        found = await rows.triggers(home.tenant, "order.created", "x")
        found += await rows.triggers(home.tenant, "order.deleted", "x")
        return [(row.pattern, row.version) for row in found]

    assert await patterns() == [("order.created", 1)]
    for verb in ("pause", "unpublish", "archive"):
        assert (await home.api.post(f"/workflows/{workflow}/{verb}")).status_code == 200
        assert await patterns() == []
        back = {"pause": "resume", "unpublish": "versions/1/publish", "archive": "restore"}[verb]
        assert (await home.api.post(f"/workflows/{workflow}/{back}")).status_code == 200, back
        assert await patterns() == [("order.created", 1)], verb
    document = (await home.api.get(f"/workflows/{workflow}")).json()["document"]
    document["nodes"][0]["params"]["event_type"] = "order.deleted"
    saved = await home.api.put(f"/workflows/{workflow}", json={"document": document})
    assert saved.status_code == 200, saved.text
    assert await patterns() == [("order.deleted", 2)]
    assert (await home.api.post(f"/workflows/{workflow}/archive")).status_code == 200
    assert (await home.api.delete(f"/workflows/{workflow}")).status_code == 204
    assert await patterns() == []


async def test_subscriber_published_while_events_flow_hears_all_that_come_after(home: Home) -> None:
    dispatching = asyncio.create_task(home.dispatcher.run_forever())
    try:
        for _ in range(20):
            await home.publish("tick")
        workflow = await home.publish_workflow("tick")
        after = {await home.publish("tick") for _ in range(20)}
        async with asyncio.timeout(30):
            for event_id in after:
                await home.settled(event_id)
    finally:
        dispatching.cancel()
        await asyncio.gather(dispatching, return_exceptions=True)
    heard = [one["metadata"]["event"] for one in await home.of(workflow)]
    assert len(heard) == len(set(heard))
    assert after <= set(heard)


async def test_parked_messages_are_shown_and_delivered_again_when_somebody_asks(
    home: Home, resources: Resources
) -> None:
    event_id = await home.publish()
    async with resources.database.transaction(home.tenant) as transaction:
        await transaction.execute("UPDATE outbox SET parked_at = now(), failure = 'no', attempts = 10")
    await home.dispatcher.run_once()
    assert (await home.event(event_id))["state"] == "waiting"
    (parked,) = (await home.api.get("/outbox/parked")).json()["items"]
    assert (parked["kind"], parked["failure"], parked["payload"]) == ("event.published", "no", {"event_id": event_id})
    assert (await home.api.post(f"/outbox/parked/{parked['id']}/retry")).status_code == 202
    await home.dispatcher.run_once()
    assert (await home.event(event_id))["state"] == "settled"
    assert (await home.api.post(f"/outbox/parked/{parked['id']}/retry")).status_code == 404


async def _tenant(resources: Resources) -> TenantId:
    tenant = mint_tenant(uuid4())
    await Tenants(resources.database).ensure(tenant, f"events {tenant}")
    return tenant
