"""Starts by hand that name the trigger by its key, and how long they are kept waiting."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx2
import pytest

from api.executions.starting import Order, longest_wait_s, published_version
from api.resources import Resources
from models.tenancy import TenantId
from tests.api.conftest import document

pytestmark = pytest.mark.asyncio(loop_scope="session")


def _keyed(**more: Any) -> dict[str, Any]:
    nodes = [
        {"id": "first", "type": "manual", "params": {"trigger_key": "nightly", "timeout": "2s"}},
        {"id": "second", "type": "manual", "params": {"trigger_key": "by hand"}},
        {"id": "third", "type": "manual"},
        {"id": "work", "type": "transform", "params": {"mapping": {"a": 1}}},
    ]
    edges = [{"source": source, "target": "work"} for source in ("first", "second", "third")]
    return document(nodes=nodes, edges=[*edges], **more)


async def _saved(api: httpx2.AsyncClient) -> str:
    given = _keyed()
    given["nodes"][3]["join"] = "any"  # pyright: ignore[reportIndexIssue]
    answer = await api.post("/workflows", json={"document": given})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def test_a_start_names_its_trigger_by_key(api: httpx2.AsyncClient) -> None:
    workflow = await _saved(api)
    for key, node in (("nightly", "first"), ("by hand", "second")):
        answer = await api.post(f"/workflows/{workflow}/execute", json={"trigger_key": key})
        assert (answer.status_code, answer.json()["trigger_node"]) == (202, node)
    both = await api.post(f"/workflows/{workflow}/execute", json={"trigger_key": "nightly", "trigger": "first"})
    assert both.status_code == 202


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"trigger_key": "weekly"}, "UNKNOWN_TRIGGER"),
        ({"trigger_key": "nightly", "trigger": "second"}, "AMBIGUOUS_TRIGGER"),
        ({}, "AMBIGUOUS_TRIGGER"),
    ],
)
async def test_a_key_that_says_nothing_clear_starts_nothing(
    api: httpx2.AsyncClient, asked: dict[str, str], code: str
) -> None:
    answer = await api.post(f"/workflows/{await _saved(api)}/execute", json=asked)
    assert (answer.status_code, answer.json()["issues"][0]["code"]) == (422, code)


async def test_a_document_is_started_by_a_key_too(api: httpx2.AsyncClient) -> None:
    given = _keyed()
    answer = await api.post("/executions", json={"document": given, "trigger_key": "nightly"})
    assert (answer.status_code, answer.json()["trigger_node"]) == (202, "first")


async def test_who_waits_is_kept_for_the_triggers_timeout_at_most(
    api: httpx2.AsyncClient, resources: Resources, tenant: TenantId
) -> None:
    version = await published_version(resources, tenant, UUID(await _saved(api)), None)
    assert longest_wait_s(version, Order(trigger_key="nightly"), 30) == 2
    assert longest_wait_s(version, Order(trigger_key="nightly"), 1) == 1
    assert longest_wait_s(version, Order(trigger_key="by hand"), 30) == 30
