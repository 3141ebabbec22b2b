from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from api.app import create_app, open_first_resources
from api.resources import Resources
from engine.settings import Settings
from tests.api.conftest import KEY, caller, document
from tests.api.workflows.test_lifecycle import create, refusal

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def save(api: httpx2.AsyncClient, made: dict[str, Any], query: str = "", **changes: Any) -> dict[str, Any]:
    body = {"document": {**made["document"], **changes}, "note": changes.get("description", "")}
    answer = await api.put(f"/workflows/{made['id']}{query}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_versions_are_listed_newest_first_with_author_and_note(api: httpx2.AsyncClient) -> None:
    made = await create(api)
    await save(api, made, description="second")
    await save(api, made, "?publish=false", description="third")
    url = f"/workflows/{made['id']}/versions"
    first = (await api.get(f"{url}?limit=2")).json()
    rest = (await api.get(f"{url}?limit=2&cursor={first['next']}")).json()

    assert [item["number"] for item in first["items"] + rest["items"]] == [3, 2, 1]
    assert [item["published"] for item in first["items"]] == [False, True]
    assert first["items"][0]["note"] == "third"
    assert first["items"][0]["author"] != ""
    assert rest["next"] is None
    assert await refusal(api.get(f"{url}/9")) == (404, "NOT_FOUND")


async def test_a_version_that_the_client_has_is_not_sent_again(api: httpx2.AsyncClient) -> None:
    made = await create(api)
    url = f"/workflows/{made['id']}/versions/1"
    tag = (await api.get(url)).headers["etag"]
    same = await api.get(url, headers={"If-None-Match": f'"x", W/{tag}'})
    await save(api, made, description="second")
    after = await api.get(url, headers={"If-None-Match": tag})

    assert (same.status_code, same.content) == (304, b"")
    assert (after.status_code, after.json()["published"]) == (200, False)


async def test_a_diff_names_what_a_version_changes(api: httpx2.AsyncClient) -> None:
    made = await create(api)
    nodes = [*made["document"]["nodes"], {"id": "more", "type": "transform", "params": {"mapping": 1}}]
    nodes[1] = {**nodes[1], "params": {"mapping": {"twice": "{{ input.n * 3 }}"}}}
    await save(api, made, nodes=nodes, edges=[*made["document"]["edges"], {"source": "double", "target": "more"}])
    diff = (await api.get(f"/workflows/{made['id']}/versions/2/diff?against=1")).json()
    none = (await api.get(f"/workflows/{made['id']}/versions/2/diff?against=2")).json()

    assert (diff["before"], diff["after"], diff["same"]) == (1, 2, False)
    assert diff["graph"]["nodes_added"] == ["more"]
    assert diff["graph"]["edges_added"] == [
        {"source": "double", "source_port": "out", "target": "more", "target_port": "in"}
    ]
    change = {"before": "{{ input.n * 2 }}", "after": "{{ input.n * 3 }}", "kind": "changed"}
    assert diff["graph"]["nodes_changed"] == [{"id": "double", "changes": [{"path": "params.mapping.twice", **change}]}]
    assert none["same"] is True


async def test_publishing_chooses_what_starts_and_rolling_back_loses_nothing(api: httpx2.AsyncClient) -> None:
    made = await create(api)
    await save(api, made, description="second")
    url = f"/workflows/{made['id']}"
    published = (await api.post(f"{url}/versions/1/publish")).json()
    back = (await api.post(f"{url}/rollback", json={"version": 1})).json()
    late = await refusal(api.post(f"{url}/rollback", json={"version": 2}, headers={"If-Match": '"2"'}))
    draft = (await api.post(f"{url}/unpublish")).json()

    assert (published["published_version"], published["latest_version"]) == (1, 2)
    assert (back["version"], back["published_version"], back["document"]) == (3, 3, made["document"])
    assert [item["note"] for item in (await api.get(f"{url}/versions")).json()["items"]] == [
        "Back to version 1",
        "second",
        "",
    ]
    assert late == (412, "VERSION_CONFLICT")
    assert (draft["status"], draft["published_version"]) == ("draft", None)


async def test_pruning_says_how_many_went_and_the_published_one_stays(api: httpx2.AsyncClient) -> None:
    made = await create(api)
    for number in range(4):
        await save(api, made, "?publish=false", description=str(number))
    answer = await api.post(f"/workflows/{made['id']}/versions/prune?keep=1")

    assert answer.json() == {"removed": 3}
    assert [item["number"] for item in (await api.get(f"/workflows/{made['id']}/versions")).json()["items"]] == [5, 1]


async def test_old_versions_go_by_themselves_past_what_the_setting_keeps(settings: Settings) -> None:
    tight = settings.override({"workflows": {"keep_versions": 3}})
    async with open_first_resources(tight) as resources, caller(create_app(tight, resources), KEY) as api:
        made = await create(api)
        for number in range(2, 21):
            await save(api, made, description=str(number))
        kept = (await api.get(f"/workflows/{made['id']}/versions")).json()["items"]

    assert [item["number"] for item in kept] == [20, 19, 18]


async def test_a_save_is_seen_by_the_next_start_in_another_process(
    api: httpx2.AsyncClient, settings: Settings, worker: None
) -> None:
    def giving(value: int) -> list[dict[str, Any]]:
        return [{"id": "give", "type": "transform", "params": {"mapping": {"value": value}}}]

    async with open_first_resources(settings) as own, caller(create_app(settings, own), KEY) as other:
        made = await create(api, nodes=giving(0), edges=[])
        for value in range(1, 4):
            started = await other.post(f"/workflows/{made['id']}/execute?mode=sync&wait_s=30")
            assert started.json()["output"] == {"give": {"value": value - 1}}, started.text
            await save(api, made, nodes=giving(value), edges=[])


async def test_an_execution_keeps_the_version_that_it_started_with(api: httpx2.AsyncClient, worker: None) -> None:
    def waiting(value: str) -> dict[str, Any]:
        nodes = [
            {"id": "wait", "type": "approval", "params": {"message": "?", "allow_self": True}},
            {"id": "give", "type": "transform", "params": {"mapping": {"value": value}}},
        ]
        edges = [{"source": "wait", "source_port": "approved", "target": "give"}]
        return {"nodes": nodes, "edges": edges}

    made = await create(api, **waiting("old"))
    started = (await api.post(f"/workflows/{made['id']}/execute")).json()
    await save(api, made, **waiting("new"))
    url = f"/executions/{started['id']}"
    answer = await _approve(api, url)
    ended = await _ended(api, url)

    assert answer.status_code == 200, answer.text
    assert ended["output"]["give"] == {"value": "old"}
    assert ended["version_id"] == made["version_id"]


async def _approve(api: httpx2.AsyncClient, url: str) -> httpx2.Response:
    async with asyncio.timeout(60):
        while True:
            answer = await api.post(f"{url}/nodes/wait/approve", json={"decision": "approved"})
            if answer.json().get("code") != "NODE_NOT_WAITING":  # it has asked
                return answer
            await asyncio.sleep(0.05)


async def _ended(api: httpx2.AsyncClient, url: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            found = (await api.get(url)).json()
            if found["status"] not in ("pending", "running"):
                return found
            await asyncio.sleep(0.05)


async def test_another_tenants_versions_are_not_there(
    api: httpx2.AsyncClient, stranger: httpx2.AsyncClient, resources: Resources
) -> None:
    made = await create(api)
    url = f"/workflows/{made['id']}"
    calls = [
        stranger.get(f"{url}/versions"),
        stranger.get(f"{url}/versions/1"),
        stranger.get(f"{url}/versions/1/diff?against=1"),
        stranger.post(f"{url}/versions/1/publish"),
        stranger.post(f"{url}/versions/prune?keep=1"),
        stranger.post(f"{url}/rollback", json={"version": 1}),
        stranger.post(f"{url}/unpublish"),
        stranger.post(f"{url}/duplicate"),
        stranger.post(f"{url}/pause"),
        stranger.post(f"{url}/restore"),
        stranger.patch(url, json={"tags": ["x"]}),
        stranger.get(f"{url}/export"),
        stranger.get(f"/workflows/export?workflow_id={made['id']}"),
        stranger.post("/templates", json={"workflow_id": made["id"]}),
    ]

    assert [(await call).status_code for call in calls] == [404] * len(calls)
    assert document()["nodes"] == made["document"]["nodes"]
