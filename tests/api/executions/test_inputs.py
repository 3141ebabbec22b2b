"""What the record keeps of what nodes were given."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.api.conftest import document

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "hunter2-hunter2"


async def _nodes(api: httpx2.AsyncClient, *nodes: dict[str, Any], data: Any = None) -> dict[str, Any]:
    """The node executions of a run, by path."""
    body = {"document": document(nodes=list(nodes), edges=[]), "input": data}
    started = (await api.post("/executions?mode=sync&wait_s=20", json=body)).json()
    answer = await api.get(f"/executions/{started['id']}/nodes")
    assert answer.status_code == 200, answer.text
    return {item["path"]: item for item in answer.json()["items"]}


def _script(data: Any, code: str = "1") -> dict[str, Any]:
    return {"id": "say", "type": "script", "params": {"script_code": code, "input": data}}


async def test_a_node_that_does_io_shows_its_resolved_parameters(api: httpx2.AsyncClient, worker: None) -> None:
    rows = await _nodes(api, _script({"n": "{{ input.n + 1 }}"}), data={"n": 4})
    assert rows["say"]["input"] == {"script_code": "1", "input": {"n": 5}}
    assert rows["say"]["input_bytes"] == len('{"script_code":"1","input":{"n":5}}')


async def test_a_node_that_fails_shows_what_it_was_given(api: httpx2.AsyncClient, worker: None) -> None:
    failing = {
        "id": "bad",
        "type": "filter",
        "params": {"items": "{{ input.n }}", "condition": "{{ item > 1 }}"},
        "on_error": "continue",
    }
    fine = {"id": "fine", "type": "transform", "params": {"mapping": "{{ input.n }}"}}
    rows = await _nodes(api, failing, fine, data={"n": 3})
    assert rows["bad"]["status"] == "failed"
    assert rows["bad"]["input"]["items"] == 3
    assert rows["fine"]["input"] is None  # by default local nodes that succeed record none


async def test_what_is_named_like_a_secret_is_masked(api: httpx2.AsyncClient, worker: None) -> None:
    rows = await _nodes(api, _script({"Authorization": SECRET, "deep": [{"password": SECRET}], "kept": "text"}))
    assert rows["say"]["input"]["input"] == {
        "Authorization": "[redacted]",
        "deep": [{"password": "[redacted]"}],
        "kept": "text",
    }


@pytest.mark.parametrize(("size", "shown"), [(100_000, True), (300_000, False)])
async def test_a_large_input_is_bounded(api: httpx2.AsyncClient, worker: None, size: int, shown: bool) -> None:
    rows = await _nodes(api, _script(f"{{{{ 'x' * {size} }}}}"))
    assert rows["say"]["status"] == "success"
    if shown:
        assert len(rows["say"]["input"]["input"]) == size
    else:
        assert set(rows["say"]["input"]) == {"$omitted_bytes"}
