from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from tests.api.conftest import document

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def create(api: httpx2.AsyncClient, query: str = "", **more: Any) -> dict[str, Any]:
    answer = await api.post(f"/workflows{query}", json={"document": document(**more)})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def refusal(call: Any) -> tuple[int, str]:
    answer = await call
    return answer.status_code, answer.json()["code"]


async def test_a_draft_may_have_errors_and_starts_nothing_by_itself(api: httpx2.AsyncClient) -> None:
    bad = [{"id": "start", "type": "manual"}, {"id": "double", "type": "no_such"}]
    draft = await create(api, "?publish=false", nodes=bad)
    url = f"/workflows/{draft['id']}"

    assert (draft["status"], draft["published_version"], draft["valid"]) == ("draft", None, False)
    assert "error" in {issue["severity"] for issue in draft["warnings"]}
    assert await refusal(api.post(f"{url}/execute")) == (409, "NOT_PUBLISHED")
    assert await refusal(api.post(f"{url}/execute", json={"version": 1})) == (409, "VERSION_INVALID")
    assert await refusal(api.post(f"{url}/versions/1/publish")) == (422, "INVALID_DOCUMENT")
    assert await refusal(api.post("/workflows", json={"document": document(nodes=bad)})) == (422, "INVALID_DOCUMENT")


async def test_a_valid_draft_can_be_tried_by_naming_its_version(api: httpx2.AsyncClient) -> None:
    draft = await create(api, "?publish=false")
    tried = await api.post(f"/workflows/{draft['id']}/execute", json={"version": 1})

    assert tried.status_code == 202, tried.text
    assert (await api.get(f"/workflows/{draft['id']}")).json()["status"] == "draft"


async def test_a_paused_workflow_starts_nothing_until_it_is_resumed(api: httpx2.AsyncClient) -> None:
    made = await create(api)
    url = f"/workflows/{made['id']}"
    paused = await api.post(f"{url}/pause")
    refused = [
        await refusal(api.post(f"{url}/execute")),
        await refusal(api.post(f"{url}/execute", json={"version": 1})),
        await refusal(api.post("/executions", json={"document": made["document"]})),
    ]
    resumed = await api.post(f"{url}/resume")

    assert paused.json()["status"] == "paused"
    assert refused == [(409, "WORKFLOW_PAUSED")] * 3
    assert resumed.json()["status"] == "active"
    assert (await api.post(f"{url}/execute")).status_code == 202


async def test_what_is_no_active_workflow_cannot_be_paused(api: httpx2.AsyncClient) -> None:
    draft = await create(api, "?publish=false")
    assert await refusal(api.post(f"/workflows/{draft['id']}/pause")) == (409, "NOT_ACTIVE")
    await api.delete(f"/workflows/{draft['id']}")
    assert await refusal(api.post(f"/workflows/{draft['id']}/resume")) == (409, "NOT_ACTIVE")


async def test_an_archived_workflow_can_be_restored_or_deleted_for_good(api: httpx2.AsyncClient) -> None:
    made = await create(api)
    url = f"/workflows/{made['id']}"
    too_early = await refusal(api.delete(f"{url}?permanently=true"))
    assert await refusal(api.post(f"{url}/restore")) == (409, "NOT_ARCHIVED")
    await api.post(f"{url}/archive")
    assert (await api.post(f"{url}/restore")).json()["status"] == "active"
    await api.delete(url)
    gone = await api.delete(f"{url}?permanently=true")

    assert too_early == (409, "NOT_ARCHIVED")
    assert gone.status_code == 204
    assert await refusal(api.get(url)) == (404, "NOT_FOUND")
    assert (await api.post("/workflows", json={"document": made["document"]})).status_code == 201


async def test_a_workflow_with_a_running_execution_is_not_deleted(api: httpx2.AsyncClient) -> None:
    nodes = [{"id": "wait", "type": "delay", "params": {"delay": "1h"}}]  # open, whether a worker runs or not
    made = await create(api, nodes=nodes, edges=[])
    url = f"/workflows/{made['id']}"
    started = await api.post(f"{url}/execute")
    assert started.status_code == 202
    await api.delete(url)

    assert await refusal(api.delete(f"{url}?permanently=true")) == (409, "EXECUTION_RUNNING")
    await api.post(f"/executions/{started.json()['id']}/cancel")


async def test_a_new_name_is_a_new_version_published_if_the_one_before_was(api: httpx2.AsyncClient) -> None:
    made = await create(api)
    url = f"/workflows/{made['id']}"
    new_name = f"{made['name']}-renamed"
    renamed = (await api.patch(url, json={"name": new_name, "description": "d"})).json()
    await api.put(f"{url}?publish=false", json={"document": {**renamed["document"], "description": "draft"}})
    again = (await api.patch(url, json={"name": f"{new_name}-2"})).json()

    assert (renamed["name"], renamed["version"], renamed["published_version"]) == (new_name, 2, 2)
    assert (renamed["document"]["name"], renamed["document"]["description"]) == (new_name, "d")
    assert (again["version"], again["published_version"]) == (4, 2)
    other = await create(api)
    assert await refusal(api.patch(url, json={"name": other["name"]})) == (409, "NAME_TAKEN")
    assert await refusal(api.patch(url, json={"nmae": "x"})) == (422, "INVALID_REQUEST")


async def test_tags_are_kept_in_one_form_and_change_no_version(api: httpx2.AsyncClient) -> None:
    made = await create(api)
    url = f"/workflows/{made['id']}"
    tagged = (await api.patch(url, json={"tags": ["  Night   Run ", "night run", "A"]})).json()

    assert (tagged["tags"], tagged["version"]) == (["a", "night run"], 1)
    assert await refusal(api.patch(url, json={"tags": [" "]})) == (422, "INVALID_DOCUMENT")
    assert await refusal(api.patch(url, json={"tags": ["x" * 65]})) == (422, "INVALID_DOCUMENT")


async def test_two_who_change_at_once_do_not_overwrite_each_other(api: httpx2.AsyncClient) -> None:
    made = await create(api)
    url = f"/workflows/{made['id']}"
    tag = (await api.get(url)).headers["etag"]
    bodies = [{**made["document"], "description": text} for text in ("one", "other")]
    saves = [api.put(url, json={"document": body}, headers={"If-Match": tag}) for body in bodies]
    answers = await asyncio.gather(*saves)

    loser = next(answer for answer in answers if answer.status_code == 412)
    winner = next(answer for answer in answers if answer.status_code == 200)
    assert (loser.json()["code"], loser.json()["details"]["latest_version"]) == ("VERSION_CONFLICT", 2)
    assert (await api.get(f"{url}/versions/1")).json()["document"] == made["document"]
    assert (await api.get(f"{url}/versions/2")).json()["document"] == winner.json()["document"]
    assert await refusal(api.patch(url, json={"tags": ["x"]}, headers={"If-Match": tag})) == (412, "VERSION_CONFLICT")
    assert (await api.get(url)).json()["latest_version"] == 2


async def test_a_copy_is_a_draft_with_a_free_name(api: httpx2.AsyncClient) -> None:
    made = await create(api)
    await api.patch(f"/workflows/{made['id']}", json={"tags": ["x"]})
    first = (await api.post(f"/workflows/{made['id']}/duplicate")).json()
    second = (await api.post(f"/workflows/{made['id']}/duplicate", json={"note": "n"})).json()
    taken = await refusal(api.post(f"/workflows/{made['id']}/duplicate", json={"name": made["name"]}))

    assert (first["name"], second["name"]) == (f"{made['name']} copy", f"{made['name']} copy 2")
    assert (first["status"], first["tags"]) == ("draft", ["x"])
    assert first["document"] == {**made["document"], "name": first["name"]}
    assert taken == (409, "NAME_TAKEN")


async def test_a_list_is_narrowed_sorted_and_paged(api: httpx2.AsyncClient) -> None:
    names = [(await create(api, name=f"listed-{letter}"))["name"] for letter in "bca"]
    first = (await api.get("/workflows?search=listed-&sort=name&limit=2")).json()
    second = (await api.get(f"/workflows?search=listed-&sort=name&limit=2&cursor={first['next']}")).json()

    assert [item["name"] for item in first["items"] + second["items"]] == sorted(names)
    wrong = [f"cursor={first['next']}&sort=-updated", "status=odd", "updated_since=2026-01-01T00:00:00", "sort=x"]
    for query in wrong:
        assert (await api.get(f"/workflows?{query}")).status_code == 422, query
    recent = await api.get("/workflows", params={"search": "listed-", "updated_since": "2999-01-01T00:00:00Z"})
    assert recent.json()["items"] == []
    for order in ("updated", "-created"):
        page = (await api.get(f"/workflows?search=listed-&sort={order}&limit=1")).json()
        rest = (await api.get(f"/workflows?search=listed-&sort={order}&cursor={page['next']}")).json()
        assert len(rest["items"]) == 2
