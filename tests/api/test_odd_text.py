"""Text that PostgreSQL cannot hold, wherever a request may carry it, ends in an answer that says so or is stored."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.api.conftest import document

pytestmark = pytest.mark.asyncio(loop_scope="session")
ODD = ["a\x00b", "a\ud800b"]


def _raw(body: Any) -> dict[str, Any]:
    return {"content": json.dumps(body), "headers": {"Content-Type": "application/json"}}


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("member", ["name", "description"])
async def test_in_a_documents_text(api: httpx2.AsyncClient, text: str, member: str) -> None:
    answer = await api.post("/workflows", **_raw({"document": document(**{member: text})}))

    assert answer.status_code in (201, 422), answer.text


@pytest.mark.parametrize("text", ODD)
async def test_in_a_document_that_is_started_or_validated(api: httpx2.AsyncClient, text: str) -> None:
    nodes = [{"id": "a", "type": "transform", "params": {"mapping": {text: text}}}]
    body = _raw({"document": document(nodes=nodes, edges=[])})

    assert (await api.post("/workflows/validate", **body)).status_code == 200
    assert (await api.post("/executions", **body)).status_code in (202, 422)
    assert (await api.post("/executions", **_raw({"document": f"name: {text}"}))).status_code == 422


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize(
    "body",
    [
        lambda text: {"input": {"n": 1, "x": text}},
        lambda text: {"input": {text: 1}},
        lambda text: {"metadata": {"team": text}},
        lambda text: {"trigger": text},
    ],
)
async def test_in_a_start(api: httpx2.AsyncClient, text: str, body: Any) -> None:
    created = (await api.post("/workflows", json={"document": document()})).json()
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid4())}
    url = f"/workflows/{created['id']}/execute"

    answer = await api.post(url, content=json.dumps(body(text)), headers=headers)

    assert answer.status_code in (202, 422), answer.text


@pytest.mark.parametrize("query", ["search=a%00b", "search=%ED%A0%80", "status=%00"])
async def test_in_a_query(api: httpx2.AsyncClient, query: str) -> None:
    for url in ("/workflows", "/executions"):
        assert (await api.get(f"{url}?{query}")).status_code in (200, 422)


async def test_in_a_note(api: httpx2.AsyncClient) -> None:
    for text in ODD:
        answer = await api.post("/workflows", **_raw({"document": document(), "note": text}))
        assert answer.status_code in (201, 422)
