from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from api.resources import Resources
from engine.contracts import temporal_id
from models.repositories.execution_lists import ExecutionFilter, ExecutionLists
from models.repositories.executions import Executions
from models.tenancy import TenantId
from tests.api.conftest import document

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _workflow(api: httpx2.AsyncClient, **more: Any) -> str:
    answer = await api.post("/workflows", json={"document": document(**more)})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def test_a_start_is_answered_at_once_and_runs_in_temporal(
    api: httpx2.AsyncClient, resources: Resources, tenant: TenantId
) -> None:
    workflow_id = await _workflow(api)
    answer = await api.post(f"/workflows/{workflow_id}/execute", json={"input": {"n": 4}, "metadata": {"team": "a"}})

    started = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/v1/executions/{started['id']}"
    assert (started["input"], started["trigger_node"], started["metadata"]) == ({"n": 4}, "start", {"team": "a"})
    handle = await resources.temporal.handle(tenant, started["id"])
    described = await handle.describe()
    assert described.id == temporal_id(str(tenant), started["id"])
    attributes = {pair.key.name: pair.value for pair in described.typed_search_attributes}
    assert attributes["StructForgeTenant"] == str(tenant)
    assert attributes["StructForgeTrigger"] == "manual"
    assert await described.static_summary() == started["workflow_name"]


async def test_a_synchronous_start_answers_with_the_output(api: httpx2.AsyncClient, worker: None) -> None:
    workflow_id = await _workflow(api)
    answer = await api.post(f"/workflows/{workflow_id}/execute?mode=sync&wait_s=20", json={"input": {"n": 21}})

    ended = answer.json()
    assert answer.status_code == 200
    assert (ended["status"], ended["output"]) == ("success", {"double": {"twice": 42}})
    assert ended["nodes"] == {"success": 2}
    assert ended["duration_ms"] >= 0


async def test_a_synchronous_start_of_a_failing_workflow_answers_with_its_error(
    api: httpx2.AsyncClient, worker: None
) -> None:
    nodes = [{"id": "bad", "type": "transform", "params": {"mapping": "{{ 1 / input.n }}"}}]
    workflow_id = await _workflow(api, nodes=nodes, edges=[])
    answer = await api.post(f"/workflows/{workflow_id}/execute?mode=sync&wait_s=20", json={"input": {"n": 0}})

    assert answer.status_code == 200
    assert answer.json()["status"] == "failed"
    assert answer.json()["error"]["code"] == "EXPRESSION_ERROR"


async def test_a_wait_that_is_too_short_answers_202_and_the_execution_goes_on(
    api: httpx2.AsyncClient, worker: None
) -> None:
    nodes = [{"id": "pause", "type": "delay", "params": {"delay": "1s"}}]
    workflow_id = await _workflow(api, nodes=nodes, edges=[])
    answer = await api.post(f"/workflows/{workflow_id}/execute?mode=sync&wait_s=0.2")

    assert answer.status_code == 202
    assert answer.json()["status"] in ("pending", "running")
    assert (await api.get(f"/executions/{answer.json()['id']}")).json()["finished_at"] is None


async def test_ten_identical_starts_at_once_are_one_execution(
    api: httpx2.AsyncClient, resources: Resources, tenant: TenantId
) -> None:
    workflow_id = await _workflow(api)
    headers = {"Idempotency-Key": "ten-at-once"}

    async def post() -> httpx2.Response:
        return await api.post(f"/workflows/{workflow_id}/execute", json={"input": {"n": 1}}, headers=headers)

    answers = await asyncio.gather(*(post() for _ in range(10)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    kept = await ExecutionLists(resources.database).page(
        tenant, ExecutionFilter(workflow_id=answers[0].json()["workflow_id"])
    )
    assert len(kept.items) == 1


async def test_a_key_that_was_used_for_another_request_is_a_conflict(api: httpx2.AsyncClient) -> None:
    url = f"/workflows/{await _workflow(api)}/execute"
    headers = {"Idempotency-Key": "used"}
    await api.post(url, json={"input": {"n": 1}}, headers=headers)

    answer = await api.post(url, json={"input": {"n": 2}}, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (409, "CONFLICT")


async def test_the_input_is_checked_and_its_defaults_applied_before_anything_is_stored(
    api: httpx2.AsyncClient,
) -> None:
    workflow_id = await _workflow(api)
    filled = await api.post(f"/workflows/{workflow_id}/execute")
    wrong = await api.post(f"/workflows/{workflow_id}/execute", json={"input": {"n": "four"}})

    assert filled.json()["input"] == {"n": 1}
    assert wrong.status_code == 422
    assert wrong.json()["issues"][0]["path"] == "input.n"
    listed = (await api.get(f"/executions?workflow_id={workflow_id}")).json()["items"]
    assert [item["id"] for item in listed] == [filled.json()["id"]]


async def test_several_triggers_need_a_name(api: httpx2.AsyncClient) -> None:
    nodes = [{"id": "one", "type": "manual"}, {"id": "two", "type": "manual"}]
    url = f"/workflows/{await _workflow(api, nodes=nodes, edges=[])}/execute"

    unnamed, unknown = await api.post(url), await api.post(url, json={"trigger": "three"})
    named = await api.post(url, json={"trigger": "two"})

    assert unnamed.json()["issues"][0]["code"] == "AMBIGUOUS_TRIGGER"
    assert (unknown.status_code, unknown.json()["issues"][0]["code"]) == (422, "UNKNOWN_TRIGGER")
    assert named.json()["trigger_node"] == "two"


async def test_an_older_version_runs_if_it_is_named(api: httpx2.AsyncClient) -> None:
    created = (await api.post("/workflows", json={"document": document()})).json()
    url = f"/workflows/{created['id']}"
    second = (await api.put(url, json={"document": {**created["document"], "description": "2"}})).json()

    newest = await api.post(f"{url}/execute")
    older = await api.post(f"{url}/execute", json={"version": 1})
    missing = await api.post(f"{url}/execute", json={"version": 3})

    assert newest.json()["version_id"] == second["version_id"]
    assert older.json()["version_id"] == created["version_id"]
    assert missing.status_code == 404


async def test_a_document_is_saved_under_its_name_and_started(api: httpx2.AsyncClient, worker: None) -> None:
    given = document()
    first = await api.post("/executions?mode=sync&wait_s=20", json={"document": given, "input": {"n": 3}})
    changed = {**given, "description": "tried"}
    second = await api.post("/executions", json={"document": changed})
    text = await api.post("/executions", json={"document": "name: as-text\nnodes: [{id: start, type: manual}]"})

    workflow = (await api.get(f"/workflows/{first.json()['workflow_id']}")).json()
    assert (first.status_code, first.json()["output"]) == (200, {"double": {"twice": 6}})
    assert second.json()["workflow_id"] == first.json()["workflow_id"]
    assert second.json()["version_id"] != first.json()["version_id"]
    assert (workflow["latest_version"], workflow["published_version"]) == (2, 1)  # a try publishes nothing
    assert text.status_code == 202


async def test_a_large_input_is_stored_and_shown_only_when_asked_for(
    api: httpx2.AsyncClient, resources: Resources, tenant: TenantId
) -> None:
    workflow_id = await _workflow(api, inputs={})
    text = "x" * 270_000
    started = (await api.post(f"/workflows/{workflow_id}/execute", json={"input": {"text": text}})).json()

    shown = (await api.get(f"/executions/{started['id']}")).json()
    full = (await api.get(f"/executions/{started['id']}?full=true")).json()

    row = await Executions(resources.database).get(tenant, started["id"])
    assert row.input is not None
    assert "r" in row.input
    assert (shown["input"], shown["input_omitted"], shown["input_bytes"]) == (None, True, len(text) + 11)
    assert full["input"] == {"text": text}
