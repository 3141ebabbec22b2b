from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from api.auth import Identity
from api.executions import bulk
from api.executions.bulk_schemas import BulkRequest
from api.resources import Resources
from models.repositories.grants import ALL_MEMBERS, Grants
from models.roles import Role
from models.tenancy import TenantId
from tests.api.conftest import document
from tests.api.members import make_member

pytestmark = pytest.mark.asyncio(loop_scope="session")

WAIT = [{"id": "wait", "type": "delay", "params": {"delay": "1h"}}]


async def _waiting(api: httpx2.AsyncClient, count: int) -> tuple[str, list[str]]:
    """A label of executions that wait, and their ids, the oldest first."""
    team, name = uuid4().hex, f"bulk-{uuid4().hex}"
    body = {"document": document(name, nodes=WAIT, edges=[]), "metadata": {"team": team}}
    ids = [(await api.post("/executions", json=body)).json()["id"] for _ in range(count)]
    return team, ids


async def _ask(api: httpx2.AsyncClient, action: str, team: str, **more: Any) -> dict[str, Any]:
    key = more.pop("key", None)
    headers = {} if key is None else {"Idempotency-Key": key}
    body = {"action": action, "filter": {"metadata": {"team": team}}, "dry_run": False, **more}
    answer = await api.post("/executions/bulk", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _all(api: httpx2.AsyncClient, ids: list[str], status: str) -> None:
    async with asyncio.timeout(60):
        for execution_id in ids:
            while (await api.get(f"/executions/{execution_id}")).json()["status"] != status:  # noqa: ASYNC110
                await asyncio.sleep(0.03)


async def test_a_dry_run_says_which_and_does_nothing(api: httpx2.AsyncClient, worker: None) -> None:
    team, ids = await _waiting(api, 22)
    given = {"action": "cancel", "filter": {"metadata": {"team": team}}}
    dry = (await api.post("/executions/bulk", json=given)).json()  # a dry run unless it says otherwise

    assert (dry["dry_run"], dry["matched"], dry["results"]) == (True, 22, [])
    assert [item["id"] for item in dry["first"]] == ids[:20]
    assert (await api.get(f"/executions/{ids[0]}")).json()["status"] in ("pending", "running")
    await _ask(api, "cancel", team)


async def test_each_execution_is_commanded_and_has_a_result(api: httpx2.AsyncClient, worker: None) -> None:
    team, ids = await _waiting(api, 3)
    paused = await _ask(api, "pause", team)
    nothing = await _ask(api, "pause", team)
    resumed = await _ask(api, "resume", team)
    retried = await _ask(api, "retry", team)
    cancelled = await _ask(api, "cancel", team, limit=2)
    await _all(api, ids[:2], "cancelled")
    left = (await api.get(f"/executions/{ids[2]}")).json()["status"]
    await _ask(api, "cancel", team)

    assert [(result["id"], result["done"]) for result in paused["results"]] == [(one, True) for one in ids]
    assert (nothing["matched"], nothing["results"]) == (0, [])
    assert [result["done"] for result in resumed["results"]] == [True] * 3
    assert {result["code"] for result in retried["results"]} == {"NODE_NOT_WAITING"}
    assert (cancelled["matched"], [result["id"] for result in cancelled["results"]]) == (3, ids[:2])
    assert left == "running"


async def test_repeating_a_bulk_rerun_with_its_key_starts_nothing_new(api: httpx2.AsyncClient, worker: None) -> None:
    team, key = uuid4().hex, f"key-{uuid4().hex}"
    body = {"document": document(f"bulk-{team}"), "metadata": {"team": team}}
    models = [(await api.post("/executions?mode=sync&wait_s=20", json=body)).json()["id"] for _ in range(2)]

    first = await _ask(api, "rerun", team, key=key)
    await _all(api, [result["started"] for result in first["results"]], "success")
    second = await _ask(api, "rerun", team, key=key)  # reruns carry the label too, yet none of them is drawn in
    other = await api.post(
        "/executions/bulk",
        json={"action": "rerun", "filter": {"metadata": {"team": team}}, "dry_run": False, "limit": 1},
        headers={"Idempotency-Key": key},
    )

    assert [result["id"] for result in first["results"]] == models
    assert second["results"] == first["results"]
    assert other.status_code == 409
    assert len((await api.get(f"/executions?label=team={team}")).json()["items"]) == 4


async def test_two_of_one_key_at_once_rerun_each_execution_once(api: httpx2.AsyncClient, worker: None) -> None:
    team, key = uuid4().hex, f"key-{uuid4().hex}"
    body = {"document": document(f"bulk-{team}"), "metadata": {"team": team}}
    await api.post("/executions?mode=sync&wait_s=20", json=body)

    answers = await asyncio.gather(*(_ask(api, "rerun", team, key=key) for _ in range(4)))

    assert len({answer["results"][0]["started"] for answer in answers}) == 1


async def test_a_retry_of_waiting_nodes_tries_them_at_once(api: httpx2.AsyncClient, worker: None) -> None:
    team = uuid4().hex
    call = {
        "id": "call",
        "type": "http",
        "params": {"method": "GET", "url": "http://127.0.0.1:9/"},  # nobody listens there
        "retry": {"interval": "1h", "max_attempts": 2},
    }
    body = {"document": document(f"bulk-{team}", nodes=[call], edges=[]), "metadata": {"team": team}}
    execution_id = (await api.post("/executions", json=body)).json()["id"]
    async with asyncio.timeout(60):
        while not (await api.get(f"/executions/{execution_id}/nodes?status=retrying")).json()["items"]:  # noqa: ASYNC110
            await asyncio.sleep(0.03)
    retried = await _ask(api, "retry", team)
    await _all(api, [execution_id], "failed")

    assert (retried["results"][0]["done"], retried["results"][0]["nodes"]) == (True, 1)


async def test_a_filter_that_names_nothing_is_refused(api: httpx2.AsyncClient) -> None:
    for given in ({}, {"filter": {}}, {"filter": {"tag": None}}, {"filter": {"stats": ["failed"]}}):
        answer = await api.post("/executions/bulk", json={"action": "cancel", **given})
        assert answer.status_code == 422


async def test_another_tenants_executions_are_not_matched(
    api: httpx2.AsyncClient, stranger: httpx2.AsyncClient, worker: None
) -> None:
    team, ids = await _waiting(api, 1)
    theirs = await _ask(stranger, "cancel", team)
    named = await stranger.post("/executions/bulk", json={"action": "cancel", "filter": {"ids": ids}, "dry_run": False})
    await _ask(api, "cancel", team)

    assert (theirs["matched"], theirs["results"]) == (0, [])
    assert (named.json()["matched"], named.json()["results"]) == (0, [])


async def test_only_executions_that_the_caller_may_control_are_chosen(
    api: httpx2.AsyncClient, resources: Resources, tenant: TenantId, worker: None
) -> None:
    team, own = await _waiting(api, 1)
    workflow_id = UUID((await api.get(f"/executions/{own[0]}")).json()["workflow_id"])
    person = await make_member(resources, tenant)
    member = Identity(tenant, uuid4(), "a member's key", ("*",), user_id=person.id, tenant_role="member")
    asked = BulkRequest.model_validate({"action": "cancel", "filter": {"metadata": {"team": team}}})

    # What a key of no person has made is all members'; here it is nobody's.
    await Grants(resources.database).remove(tenant, workflow_id, ALL_MEMBERS)
    unseen = await bulk.carry_out(resources, member, asked, None)
    await Grants(resources.database).put(tenant, workflow_id, person.id, Role.VIEWER, by="")
    seen = await bulk.carry_out(resources, member, asked, None)
    await Grants(resources.database).put(tenant, workflow_id, person.id, Role.EXECUTOR, by="")
    allowed = await bulk.carry_out(resources, member, asked, None)
    await _ask(api, "cancel", team)

    assert (unseen.matched, unseen.refused, unseen.first) == (0, 0, [])
    assert (seen.matched, seen.refused, seen.first) == (1, 1, [])
    assert (allowed.refused, [str(row.id) for row in allowed.first]) == (0, own)
