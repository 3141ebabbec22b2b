from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx2
import pytest

from api.resources import Resources
from engine.activities.starting import execution_input
from models.tenancy import TenantId
from tests.api.conftest import document

pytestmark = pytest.mark.asyncio(loop_scope="session")


def _chain() -> dict[str, Any]:
    """start -> a -> b -> c, and d beside them; each keeps the number that the input had when it ran."""
    nodes: list[dict[str, Any]] = [{"id": "start", "type": "manual"}]
    nodes += [
        {"id": name, "type": "transform", "params": {"mapping": {"n": "{{ input.n }}", "from": source}}}
        for name, source in [("a", ""), ("b", "{{ nodes.a.output.n }}"), ("c", "{{ nodes.b.output.n }}"), ("d", "")]
    ]
    edges = [("start", "a"), ("a", "b"), ("b", "c"), ("start", "d")]
    outputs = {name: f"{{{{ nodes.{name}.output }}}}" for name in "abcd"}
    return document(nodes=nodes, edges=[{"source": one, "target": two} for one, two in edges], outputs=outputs)


async def _run(api: httpx2.AsyncClient, given: dict[str, Any], data: Any = None) -> dict[str, Any]:
    answer = await api.post("/executions?mode=sync&wait_s=20", json={"document": given, "input": data})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _ended(api: httpx2.AsyncClient, resources: Resources, tenant: TenantId, execution_id: str) -> dict[str, Any]:
    handle = await resources.temporal.handle(tenant, execution_id)
    await handle.result()
    return (await api.get(f"/executions/{execution_id}")).json()


async def test_a_rerun_keeps_what_is_not_behind_its_node(
    api: httpx2.AsyncClient, resources: Resources, tenant: TenantId, worker: None
) -> None:
    model = await _run(api, _chain(), {"n": 1})
    answer = await api.post(f"/executions/{model['id']}/rerun", json={"from_node": "b", "input": {"n": 2}})
    again = await _ended(api, resources, tenant, answer.json()["id"])
    nodes = {item["path"]: item for item in (await api.get(f"/executions/{again['id']}/nodes")).json()["items"]}

    assert answer.status_code == 202
    assert (again["rerun_of"], again["rerun_from"], again["trigger"]) == (model["id"], "b", "rerun")
    assert again["output"] == {
        "a": {"n": 1, "from": ""},
        "b": {"n": 2, "from": 1},
        "c": {"n": 2, "from": 2},
        "d": {"n": 1, "from": ""},
    }
    assert {path: node["reason"] for path, node in nodes.items()} == {
        "start": "kept", "a": "kept", "b": None, "c": None, "d": "kept",
    }  # fmt: skip


async def test_a_rerun_without_a_node_repeats_everything_with_the_old_input(
    api: httpx2.AsyncClient, resources: Resources, tenant: TenantId, worker: None
) -> None:
    model = await _run(api, _chain(), {"n": 7})
    answer = await api.post(f"/executions/{model['id']}/rerun")
    again = await _ended(api, resources, tenant, answer.json()["id"])

    assert again["output"] == model["output"]
    nodes = (await api.get(f"/executions/{again['id']}/nodes")).json()["items"]
    assert all(node["reason"] != "kept" for node in nodes)


async def test_a_failed_node_runs_again_wherever_the_rerun_begins(
    api: httpx2.AsyncClient, resources: Resources, tenant: TenantId, worker: None
) -> None:
    nodes = [
        {"id": "start", "type": "manual"},
        {"id": "breaks", "type": "transform", "params": {"mapping": "{{ 10 // input.n }}"}},
        {"id": "other", "type": "transform", "params": {"mapping": "{{ 1 + 1 }}"}},
    ]
    edges = [{"source": "start", "target": "breaks"}, {"source": "start", "target": "other"}]
    given = document(nodes=nodes, edges=edges)
    model = await _run(api, given, {"n": 0})
    answer = await api.post(f"/executions/{model['id']}/rerun", json={"from_node": "other", "input": {"n": 5}})
    again = await _ended(api, resources, tenant, answer.json()["id"])

    assert model["status"] == "failed"
    assert (again["status"], again["output"]) == ("success", {"breaks": 2, "other": 2})


async def test_a_kept_condition_still_carries_what_it_received(
    api: httpx2.AsyncClient, resources: Resources, tenant: TenantId, worker: None
) -> None:
    nodes = [
        {"id": "start", "type": "manual"},
        {
            "id": "check",
            "type": "condition",
            "params": {"conditions": [{"condition": "input.n > 1", "output_port": "large"}]},
        },
        {"id": "got", "type": "transform", "params": {"rules": [{"op": "set", "path": "seen", "value": True}]}},
    ]
    edges = [
        {"source": "start", "target": "check"},
        {"source": "check", "source_port": "large", "target": "got"},
    ]
    model = await _run(api, document(nodes=nodes, edges=edges), {"n": 2})
    assert model["status"] == "success", model["error"]
    answer = await api.post(f"/executions/{model['id']}/rerun", json={"from_node": "got"})
    again = await _ended(api, resources, tenant, answer.json()["id"])

    assert model["output"] == {"got": {"n": 2, "seen": True}}
    assert again["output"] == model["output"]


async def test_a_rerun_that_is_stranded_can_be_built_again_from_its_row(
    api: httpx2.AsyncClient, resources: Resources, tenant: TenantId, worker: None
) -> None:
    model = await _run(api, _chain(), {"n": 3})
    started = (await api.post(f"/executions/{model['id']}/rerun", json={"from_node": "c"})).json()

    request = await execution_input(resources.database, resources.versions, tenant, UUID(started["id"]))

    version = await resources.versions.get(tenant, UUID(started["version_id"]))
    assert {version.plan.nodes[row[0]].path for row in request.seed} == {"start", "a", "b", "d"}
    assert request.seed[0][0] == version.plan.by_path["start"].index


async def test_only_an_ended_execution_and_a_top_level_node_can_be_rerun(api: httpx2.AsyncClient, worker: None) -> None:
    body = {"nodes": [{"id": "inner", "type": "transform", "params": {"mapping": "{{ index }}"}}]}
    loop = [{"id": "each", "type": "loop", "params": {"loop_type": "for", "count": 2, "body": body}}]
    model = await _run(api, document(nodes=loop, edges=[]))
    inner = await api.post(f"/executions/{model['id']}/rerun", json={"from_node": "each.body.inner"})
    unknown = await api.post(f"/executions/{model['id']}/rerun", json={"from_node": "nobody"})

    wait = document(nodes=[{"id": "wait", "type": "delay", "params": {"delay": "1h"}}], edges=[])
    live = (await api.post("/executions", json={"document": wait})).json()
    running = await api.post(f"/executions/{live['id']}/rerun")
    await api.post(f"/executions/{live['id']}/cancel")

    assert inner.status_code == 422
    assert "rerun from each" in inner.json()["issues"][0]["hint"]
    assert unknown.json()["issues"][0]["code"] == "UNKNOWN_NODE"
    assert (running.status_code, running.json()["code"]) == (409, "EXECUTION_RUNNING")


async def test_repeating_a_rerun_with_its_key_starts_one(api: httpx2.AsyncClient, worker: None) -> None:
    model = await _run(api, _chain())
    url, headers = f"/executions/{model['id']}/rerun", {"Idempotency-Key": "rerun-once"}

    first = await api.post(url, json={"from_node": "a"}, headers=headers)
    second = await api.post(url, json={"from_node": "a"}, headers=headers)
    other = await api.post(url, json={"from_node": "b"}, headers=headers)

    assert first.json()["id"] == second.json()["id"]
    assert other.status_code == 409


async def _save(api: httpx2.AsyncClient, given: dict[str, Any]) -> int:
    """Save a further version of the document's workflow; its number."""
    answer = await api.post("/workflows?if_exists=save", json={"document": given})
    assert answer.status_code in (200, 201), answer.text
    return answer.json()["version"]


async def test_a_rerun_with_another_version_keeps_what_fits_and_runs_what_is_new(
    api: httpx2.AsyncClient, resources: Resources, tenant: TenantId, worker: None
) -> None:
    given = _chain()
    model = await _run(api, given, {"n": 1})
    nodes = [*given["nodes"], {"id": "e", "type": "transform", "params": {"mapping": "{{ nodes.b.output.n * 10 }}"}}]
    nodes[2] = {**nodes[2], "params": {"mapping": {"n": "{{ nodes.a.output.n + 4 }}"}}}
    edges = [*given["edges"], {"source": "b", "target": "e"}]
    number = await _save(api, {**given, "nodes": nodes, "edges": edges, "outputs": {"e": "{{ nodes.e.output }}"}})
    answer = await api.post(f"/executions/{model['id']}/rerun", json={"from_node": "b", "version": number})
    again = await _ended(api, resources, tenant, answer.json()["id"])
    rows = {item["path"]: item for item in (await api.get(f"/executions/{again['id']}/nodes")).json()["items"]}

    assert (again["status"], again["output"]) == ("success", {"e": 50})  # (1 + 4) * 10
    assert again["version_id"] != model["version_id"]
    assert {path for path, row in rows.items() if row["reason"] == "kept"} == {"start", "a", "d"}


async def test_a_rerun_names_every_kept_outcome_that_has_no_place_in_the_other_version(
    api: httpx2.AsyncClient, worker: None
) -> None:
    given = _chain()
    model = await _run(api, given, {"n": 1})
    nodes = [given["nodes"][0], {"id": "a", "type": "delay", "params": {"delay": "1s"}}, *given["nodes"][2:4]]
    edges = [edge for edge in given["edges"] if edge["target"] != "d"]
    nodes[2] = {**nodes[2], "params": {"mapping": {"n": 1}}}
    number = await _save(api, {**given, "nodes": nodes, "edges": edges, "outputs": {}})
    url = f"/executions/{model['id']}/rerun"
    refused = await api.post(url, json={"from_node": "b", "version": number})
    unknown = await api.post(url, json={"from_node": "d", "version": number})
    missing = await api.post(url, json={"version": 99})

    issues = refused.json()["issues"]
    assert refused.status_code == 422
    assert {issue["code"] for issue in issues} == {"UNFIT_OUTCOME"}
    assert [issue["message"].split()[1] for issue in issues] == ["a", "d"]
    assert unknown.json()["issues"][0]["code"] == "UNKNOWN_NODE"
    assert missing.status_code == 404


async def test_the_old_input_must_fit_the_other_version_too(api: httpx2.AsyncClient, worker: None) -> None:
    given = _chain()
    model = await _run(api, given, {"n": 1})
    inputs = {"type": "object", "required": ["m"], "properties": {"n": {"type": "integer"}, "m": {"type": "integer"}}}
    number = await _save(api, {**given, "inputs": inputs})
    url = f"/executions/{model['id']}/rerun"
    refused = await api.post(url, json={"version": number})
    taken = await api.post(url, json={"version": number, "input": {"n": 1, "m": 2}})

    assert refused.status_code == 422
    assert taken.status_code == 202
