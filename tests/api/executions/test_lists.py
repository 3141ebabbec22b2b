from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.api.conftest import document

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _run(api: httpx2.AsyncClient, name: str, **more: Any) -> dict[str, Any]:
    answer = await api.post("/executions?mode=sync&wait_s=20", json={"document": document(name), **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _ids(api: httpx2.AsyncClient, query: str) -> list[str]:
    """Every id of a list, in pages of one."""
    seen: list[str] = []
    cursor = ""
    while True:
        answer = await api.get(f"/executions?{query}&limit=1{cursor}")
        assert answer.status_code == 200, answer.text
        page = answer.json()
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            return seen
        cursor = f"&cursor={page['next']}"


async def test_lists_are_narrowed_by_what_people_look_for(api: httpx2.AsyncClient, worker: None) -> None:
    team = uuid4().hex
    first = await _run(api, f"lists-{team}", metadata={"team": team, "n": 7})
    again = (await api.post(f"/executions/{first['id']}/rerun")).json()
    workflow = f"workflow_id={first['workflow_id']}"

    assert await _ids(api, workflow) == [again["id"], first["id"]]
    assert await _ids(api, f"{workflow}&sort=created") == [first["id"], again["id"]]
    assert await _ids(api, f"{workflow}&trigger=rerun") == [again["id"]]
    assert await _ids(api, f"rerun_of={first['id']}") == [again["id"]]
    assert await _ids(api, f"label=team={team}&label=n=7&trigger=manual") == [first["id"]]
    assert await _ids(api, f"label=team={team}&label=n=8") == []
    assert await _ids(api, f"{workflow}&created_before=2020-01-01T00:00:00Z") == []
    assert len(await _ids(api, f"{workflow}&created_from=2020-01-01T00:00:00%2B02:00")) == 2
    assert await _ids(api, f"{workflow}&started_by=nobody&tag=none") == []


@pytest.mark.parametrize("sort", ["finished", "-finished", "duration", "-duration"])
async def test_ordered_pages_cover_what_has_ended(api: httpx2.AsyncClient, worker: None, sort: str) -> None:
    name = f"sorted-{uuid4().hex}"
    made = [await _run(api, name) for _ in range(3)]
    value = "finished_at" if "finished" in sort else "duration_ms"
    wanted = sorted(made, key=lambda one: (one[value], one["id"]), reverse=sort.startswith("-"))

    assert await _ids(api, f"workflow_id={made[0]['workflow_id']}&sort={sort}") == [one["id"] for one in wanted]


@pytest.mark.parametrize(
    "query",
    [
        "status=finished",
        "label=team",
        "sort=name",
        "created_from=2026-01-01T00:00:00",  # no time zone
        "created_from=0001-01-01T00:00:00%2B14:00",
        "workflow_id=none",
    ],
)
async def test_a_wrong_narrowing_is_refused(api: httpx2.AsyncClient, query: str) -> None:
    assert (await api.get(f"/executions?{query}")).status_code == 422


async def test_a_cursor_of_another_order_is_refused(api: httpx2.AsyncClient, worker: None) -> None:
    name = f"cursor-{uuid4().hex}"
    made = [await _run(api, name) for _ in range(2)]
    url = f"/executions?workflow_id={made[0]['workflow_id']}&limit=1"
    cursor = (await api.get(url)).json()["next"]

    assert (await api.get(f"{url}&cursor={cursor}")).status_code == 200
    for sort in ("created", "duration"):
        assert (await api.get(f"{url}&sort={sort}&cursor={cursor}")).json()["issues"][0]["code"] == "INVALID_CURSOR"
