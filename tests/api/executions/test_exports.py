from __future__ import annotations

import csv
import io
from typing import Any
from uuid import uuid4

import httpx2
import orjson
import pytest

from tests.api.conftest import document

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVIL = "=HYPERLINK(1)"


async def _run(api: httpx2.AsyncClient, output: Any, name: str | None = None) -> dict[str, Any]:
    given = document(name, nodes=[{"id": "a", "type": "transform", "params": {"mapping": output}}], edges=[])
    given["outputs"] = "{{ nodes.a.output }}"
    answer = await api.post("/executions?mode=sync&wait_s=20", json={"document": given})
    assert answer.status_code == 200, answer.text
    return answer.json()


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


async def test_the_nodes_of_an_execution_come_in_every_format(api: httpx2.AsyncClient, worker: None) -> None:
    execution = await _run(api, {"n": 1, "text": EVIL})
    url = f"/executions/{execution['id']}/export"
    answers = {form: await api.get(f"{url}?format={form}") for form in ("json", "ndjson", "csv")}
    records = orjson.loads(answers["json"].content)

    assert [record["path"] for record in records] == ["a"]
    assert records[0]["output"] == {"n": 1, "text": EVIL}
    assert [orjson.loads(line) for line in answers["ndjson"].text.splitlines()] == records
    assert orjson.loads(_rows(answers["csv"].text)[0]["output"]) == {"n": 1, "text": EVIL}
    assert answers["csv"].headers["content-type"] == "text/csv; charset=utf-8"
    assert answers["csv"].headers["content-disposition"] == f'attachment; filename="execution-{execution["id"]}.csv"'


@pytest.mark.parametrize("output", ["=1+1", "+1", "-1+cmd|x", "@SUM(1)", "\t=1", "\r=1"])
async def test_no_cell_is_a_formula(api: httpx2.AsyncClient, worker: None, output: str) -> None:
    execution = await _run(api, output)
    text = (await api.get(f"/executions/{execution['id']}/export?format=csv")).text
    assert _rows(text)[0]["output"] == f"'{output}"


async def test_a_list_is_exported_by_its_filter_with_its_data(
    api: httpx2.AsyncClient, stranger: httpx2.AsyncClient, worker: None
) -> None:
    name = f"export-{uuid4().hex}"
    made = [await _run(api, -5, name) for _ in range(3)]
    query = f"/executions/export?workflow_id={made[0]['workflow_id']}"
    csv_rows = _rows((await api.get(f"{query}&format=csv")).text)
    records = orjson.loads((await api.get(query)).content)
    none = await stranger.get(query)

    assert [row["id"] for row in csv_rows] == [one["id"] for one in reversed(made)]
    assert csv_rows[0]["output"] == "-5"  # a number is no formula
    assert [record["output"] for record in records] == [-5] * 3
    assert orjson.loads(none.content) == []
    assert (await api.get(f"{query}&format=xlsx")).status_code == 422


async def test_large_data_are_left_out_unless_asked_for(api: httpx2.AsyncClient, worker: None) -> None:
    execution = await _run(api, "{{ 'x' * 400000 }}")
    url = f"/executions/{execution['id']}/export"
    short, whole = orjson.loads((await api.get(url)).content), orjson.loads((await api.get(f"{url}?full=true")).content)

    assert (short[0]["output"], short[0]["output_omitted"]) == (None, True)
    assert len(whole[0]["output"]) == 400_000


async def test_another_tenants_execution_is_not_exported(
    api: httpx2.AsyncClient, stranger: httpx2.AsyncClient, worker: None
) -> None:
    execution = await _run(api, 1)
    assert (await stranger.get(f"/executions/{execution['id']}/export")).status_code == 404
