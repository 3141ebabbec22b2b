from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.api.workflows.test_lifecycle import create, refusal

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def make(api: httpx2.AsyncClient, name: str | None = None, parent: str | None = None) -> dict[str, Any]:
    answer = await api.post("/folders", json={"name": name or f"f-{uuid4().hex[:12]}", "parent_id": parent})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_tree_is_made_moved_and_listed_with_its_paths(api: httpx2.AsyncClient) -> None:
    top, other = await make(api), await make(api)
    inner = await make(api, "inner", top["id"])
    moved = await api.patch(f"/folders/{inner['id']}", json={"name": "moved", "parent_id": other["id"]})
    paths = [folder["path"] for folder in (await api.get("/folders")).json()]
    up = await api.patch(f"/folders/{inner['id']}", json={"parent_id": None})

    assert inner["path"] == [top["name"], "inner"]
    assert moved.json()["path"] == [other["name"], "moved"]
    assert [other["name"], "moved"] in paths
    assert paths == sorted(paths)
    assert (up.json()["name"], up.json()["parent_id"]) == ("moved", None)
    assert await refusal(api.patch(f"/folders/{top['id']}", json={"parent_id": top["id"]})) == (409, "FOLDER_CYCLE")
    await api.delete(f"/folders/{inner['id']}")


@pytest.mark.parametrize("name", ["", "  ", ".", "..", "a/b", "a\\b", "a\nb", "a\x00b", "x" * 101])
async def test_a_name_that_could_be_a_path_is_refused(api: httpx2.AsyncClient, name: str) -> None:
    assert (await api.post("/folders", json={"name": name})).status_code == 422


async def test_workflows_move_between_folders_and_keep_them_from_going(api: httpx2.AsyncClient) -> None:
    folder, made = await make(api), await create(api)
    url = f"/workflows/{made['id']}"
    inside = (await api.patch(url, json={"folder_id": folder["id"]})).json()
    listed = (await api.get(f"/workflows?folder={folder['id']}")).json()["items"]
    full = await refusal(api.delete(f"/folders/{folder['id']}"))
    outside = (await api.patch(url, json={"folder_id": None})).json()

    assert inside["folder_id"] == folder["id"]
    assert [item["id"] for item in listed] == [made["id"]]
    assert full == (409, "FOLDER_NOT_EMPTY")
    assert outside["folder_id"] is None
    assert (await api.delete(f"/folders/{folder['id']}")).status_code == 204
    assert await refusal(api.patch(url, json={"folder_id": folder["id"]})) == (404, "NOT_FOUND")


async def test_another_tenants_folder_is_not_there(api: httpx2.AsyncClient, stranger: httpx2.AsyncClient) -> None:
    folder = await make(api)
    url = f"/folders/{folder['id']}"

    assert await refusal(stranger.get(url)) == (404, "NOT_FOUND")
    assert await refusal(stranger.patch(url, json={"name": "x"})) == (404, "NOT_FOUND")
    assert await refusal(stranger.delete(url)) == (404, "NOT_FOUND")
    assert await refusal(stranger.post("/folders", json={"name": "x", "parent_id": folder["id"]})) == (404, "NOT_FOUND")
