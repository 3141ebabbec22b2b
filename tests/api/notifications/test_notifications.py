"""Rules of notifications over HTTP, and the messages that people may see and have sent again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from fastapi import FastAPI

from api.resources import Resources
from engine.errors import NotFound
from models.repositories.notifications import Draft, Notifications
from models.repositories.outbox import OutboxMessages
from models.tables import Notification
from models.tenancy import TenantId
from tests.api.conftest import caller, document
from tests.api.members import make_member

pytestmark = pytest.mark.asyncio(loop_scope="session")
URL = "https://hooks.example/T0/secret-path"


def rule(**more: Any) -> dict[str, Any]:
    return {"name": f"r-{uuid4().hex[:10]}", "on": ["failed"], "via": "email", "to": ["ops@shop.example"], **more}


async def test_rule_is_made_read_replaced_and_removed(api: httpx2.AsyncClient, stranger: httpx2.AsyncClient) -> None:
    given = rule(template={"subject": "{{ workflow.name }}: {{ error.code }}"}, tag="money", on=["failed", "failed"])
    made = await api.post("/notification-rules", json=given)
    assert made.status_code == 201, made.text
    place = f"/notification-rules/{made.json()['id']}"
    taken = await api.post("/notification-rules", json=rule(name=given["name"]))
    listed = (await api.get("/notification-rules")).json()["items"]
    replaced = await api.put(place, json=rule(via="webhook", url=URL, to=[], on=["waiting"]))
    elsewhere = await stranger.get(place)
    assert (await api.delete(place)).status_code == 204

    assert made.json()["on"] == ["failed"]
    assert made.json()["template"] == given["template"]
    assert made.headers["Location"] == f"/api/v1{place}"
    assert (taken.status_code, taken.json()["code"]) == (409, "NAME_TAKEN")
    assert made.json()["id"] in [item["id"] for item in listed]
    assert (replaced.json()["url"], replaced.json()["to"], replaced.json()["on"]) == (URL, [], ["waiting"])
    assert elsewhere.status_code == 404
    assert (await api.get(place)).status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"on": []},
        {"on": ["lost"]},
        {"to": []},
        {"to": ["ops@shop.example\r\nBcc: x@y.example"]},
        {"to": ["ada@shop.example, ben@shop.example"]},
        {"via": "webhook", "to": []},
        {"via": "webhook", "to": [], "url": "file:///etc/passwd"},
        {"via": "webhook", "to": [], "url": URL, "template": {"subject": "no mail"}},
        {"template": {"body": {"no": "webhook"}}},
        {"template": {"subject": "{{ nodes.fetch.output }}"}},
        {"template": {"subject": "{{ input.password }}"}},
        {"template": {"text": "{{ nobody }}"}},
        {"template": {"text": "{{ 1 + }}"}},
        {"template": {"html": "x" * 70_000}},
        {"extra": 1},
    ],
)
async def test_rule_that_could_not_be_told_is_refused(api: httpx2.AsyncClient, wrong: Mapping[str, Any]) -> None:
    answer = await api.post("/notification-rules", json=rule(**wrong))
    assert answer.status_code == 422, answer.text
    assert answer.json()["issues"]


async def test_rule_of_a_workflow_goes_with_it_and_one_of_nobody_is_refused(api: httpx2.AsyncClient) -> None:
    workflow = (await api.post("/workflows", json={"document": document()})).json()
    made = await api.post("/notification-rules", json=rule(workflow_id=workflow["id"]))
    assert made.status_code == 201, made.text
    for query in ("", "?permanently=true"):
        assert (await api.delete(f"/workflows/{workflow['id']}{query}")).status_code == 204
    assert (await api.get(f"/notification-rules/{made.json()['id']}")).status_code == 404
    assert (await api.post("/notification-rules", json=rule(workflow_id=str(uuid4())))).status_code == 404


async def written(resources: Resources, tenant: TenantId, workflow_id: UUID, via: str, target: str) -> Notification:
    facts = {"event": "failed"}
    draft = Draft("failed", via, target, facts, workflow_id=workflow_id, execution_id=uuid4())
    (row,) = await Notifications(resources.database).add(tenant, uuid4(), [draft])
    return row


async def test_messages_are_seen_by_those_who_see_the_workflow_and_no_url_is_shown(
    app: FastAPI, api: httpx2.AsyncClient, resources: Resources, tenant: TenantId
) -> None:
    owner, other = await make_member(resources, tenant), await make_member(resources, tenant)
    async with caller(app, owner.secret) as client, caller(app, other.secret) as nobody:
        workflow = (await client.post("/workflows", json={"document": document()})).json()
        row = await written(resources, tenant, UUID(workflow["id"]), "webhook", URL)
        table = Notifications(resources.database)
        await table.begin(tenant, row.id, 0)
        error = {"code": "EXTERNAL_ERROR", "message": f"POST {URL} answered 500"}
        await table.end(tenant, row.id, 0, "dead", error)
        place = f"/notifications/{row.id}"
        seen = (await client.get("/notifications?status=dead&status=sent")).json()["items"]
        one, hidden = await client.get(place), await nobody.get(place)
        assert (await nobody.get("/notifications")).json()["items"] == []
        assert (await client.post(f"{place}/resend")).status_code == 403, "administrators alone"

    assert [item["id"] for item in seen] == [str(row.id)]
    assert one.json()["target"] == "https://hooks.example/…"
    assert (one.json()["error_code"], one.json()["attempts"]) == ("EXTERNAL_ERROR", 1)
    assert "secret-path" not in one.text + str(seen)
    assert hidden.status_code == 404


async def test_dead_message_is_sent_again_once_and_one_on_its_way_is_not(
    api: httpx2.AsyncClient, resources: Resources, tenant: TenantId
) -> None:
    table = Notifications(resources.database)
    row = await written(resources, tenant, uuid4(), "email", "ops@shop.example")
    early = await api.post(f"/notifications/{row.id}/resend")
    await table.begin(tenant, row.id, 0)
    await table.end(tenant, row.id, 0, "dead", {"code": "EXTERNAL_ERROR", "message": "no"})
    again = await api.post(f"/notifications/{row.id}/resend")
    late = await api.post(f"/notifications/{row.id}/resend")
    stale = await table.begin(tenant, row.id, 0)

    assert (early.status_code, early.json()["code"]) == (409, "NOTIFICATION_UNDER_WAY")
    assert (again.status_code, again.json()["status"], again.json()["round"]) == (202, "pending", 1)
    assert late.status_code == 409
    assert stale is None, "a try of the round before sends nothing"
    assert (await OutboxMessages(resources.database).counts())[0] >= 1


async def test_old_messages_that_have_ended_are_forgotten_and_those_on_their_way_are_not(
    resources: Resources, tenant: TenantId
) -> None:
    table = Notifications(resources.database)
    over, waits = [await written(resources, tenant, uuid4(), "email", "ops@shop.example") for _ in range(2)]
    await table.begin(tenant, over.id, 0)
    await table.end(tenant, over.id, 0, "sent")
    assert await table.forget(timedelta(days=1)) == 0
    assert await table.forget(timedelta(0)) >= 1
    with pytest.raises(NotFound):
        await table.get(tenant, over.id)
    assert (await table.get(tenant, waits.id)).status == "pending"
