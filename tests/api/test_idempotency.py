"""Requests that define something, repeated under their `Idempotency-Key`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from api.resources import Resources
from models.tenancy import TenantId
from tests.api.conftest import caller, document
from tests.api.credentials.test_endpoints import credential
from tests.api.members import make_member

pytestmark = pytest.mark.asyncio(loop_scope="session")


def _key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid4())}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def admin(app: FastAPI, resources: Resources, tenant: TenantId) -> AsyncIterator[httpx2.AsyncClient]:
    person = await make_member(resources, tenant, "admin")
    async with caller(app, person.token) as client:
        yield client


async def _workflow(client: httpx2.AsyncClient) -> str:
    return (await client.post("/workflows", json={"document": document()})).json()["id"]


async def _bodies(client: httpx2.AsyncClient) -> dict[str, tuple[str, Any]]:
    """A request that makes one of each kind, by kind."""
    name, workflow_id = f"idem-{uuid4().hex[:12]}", await _workflow(client)
    return {
        "workflow": ("/workflows", {"document": document()}),
        "folder": ("/folders", {"name": name}),
        "template": ("/templates", {"workflow_id": workflow_id, "name": name}),
        "copy": (f"/workflows/{workflow_id}/duplicate", {}),
        "schedule": ("/schedules", {"workflow_id": workflow_id, "name": name, "cron": "0 6 * * *"}),
        "credential": ("/credentials", credential(name=name)),
        "AI model": ("/ai-models", {"name": name, "provider": "openai", "model": "m"}),
    }


KINDS = ("workflow", "folder", "template", "copy", "schedule", "credential", "AI model")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_definition_is_made_once_and_answered_alike(admin: httpx2.AsyncClient, kind: str) -> None:
    path, body = (await _bodies(admin))[kind]
    key = _key()

    first = await admin.post(path, json=body, headers=key)
    again = await admin.post(path, json=body, headers=key)

    assert first.status_code == 201, first.text
    assert (again.status_code, again.content) == (first.status_code, first.content)
    for name in ("location", "etag", "content-type"):
        assert again.headers.get(name) == first.headers.get(name)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"


async def test_another_request_under_the_key_is_refused(admin: httpx2.AsyncClient) -> None:
    key = _key()
    await admin.post("/folders", json={"name": f"one-{uuid4().hex}"}, headers=key)

    other_body = await admin.post("/folders", json={"name": f"two-{uuid4().hex}"}, headers=key)
    other_path = await admin.post("/workflows", json={"document": document()}, headers=key)

    assert [other_body.status_code, other_path.status_code] == [409, 409]


async def test_the_same_data_written_otherwise_is_the_same_request(admin: httpx2.AsyncClient) -> None:
    key, name = _key(), f"f-{uuid4().hex}"
    headers = {**key, "Content-Type": "application/json"}
    first = await admin.post("/folders", content=f'{{"name":"{name}","parent_id":null}}', headers=headers)

    again = await admin.post("/folders", content=f'{{ "parent_id": null, "name": "{name}" }}', headers=headers)

    assert again.json() == first.json()


async def test_ten_at_once_make_one(admin: httpx2.AsyncClient) -> None:
    key, name = _key(), f"f-{uuid4().hex}"

    answers = await asyncio.gather(*(admin.post("/folders", json={"name": name}, headers=key) for _ in range(10)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 9


async def test_what_was_refused_may_be_tried_again_under_the_key(admin: httpx2.AsyncClient) -> None:
    key, name = _key(), f"f-{uuid4().hex}"
    taken = (await admin.post("/folders", json={"name": name})).json()["id"]
    refused = await admin.post("/folders", json={"name": name}, headers=key)
    await admin.delete(f"/folders/{taken}")

    answer = await admin.post("/folders", json={"name": name}, headers=key)

    assert (refused.status_code, answer.status_code) == (409, 201)


async def test_keys_of_two_callers_are_two_keys(admin: httpx2.AsyncClient, api: httpx2.AsyncClient) -> None:
    key = _key()
    hers = await admin.post("/folders", json={"name": f"a-{uuid4().hex}"}, headers=key)

    answer = await api.post("/folders", json={"name": f"b-{uuid4().hex}"}, headers=key)

    assert answer.status_code == 201
    assert answer.json()["id"] != hers.json()["id"]


async def test_a_secret_that_is_shown_once_is_not_kept(
    admin: httpx2.AsyncClient, resources: Resources, tenant: TenantId
) -> None:
    key, body = _key(), {"name": f"k-{uuid4().hex}", "scopes": ["workflow:read"]}
    made = await admin.post("/api-keys", json=body, headers=key)

    again = await admin.post("/api-keys", json=body, headers=key)

    assert made.status_code == 201, made.text
    assert (again.status_code, again.json()["code"]) == (409, "IDEMPOTENCY_REPLAY_UNAVAILABLE")
    assert again.json()["details"] == {"location": made.headers["location"]}
    kept = "SELECT count(*) FROM idempotent_reply WHERE body IS NULL AND headers ->> 'location' = $1"
    async with resources.database.transaction(tenant) as transaction:
        assert await transaction.fetchval(kept, made.headers["location"]) == 1
    keys = (await admin.get("/api-keys")).json()["items"]
    assert [one["name"] for one in keys].count(body["name"]) == 1


async def test_a_repeated_request_is_one_entry_of_the_audit_log(admin: httpx2.AsyncClient) -> None:
    key, body = _key(), {"name": f"f-{uuid4().hex}"}
    made = (await admin.post("/folders", json=body, headers=key)).json()["id"]
    await admin.post("/folders", json=body, headers=key)

    entries = (await admin.get("/audit", params={"target_id": made})).json()["items"]

    assert [entry["action"] for entry in entries] == ["folder.create"]


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_of_no_fitting_length_is_refused(admin: httpx2.AsyncClient, key: str) -> None:
    answer = await admin.post("/folders", json={"name": uuid4().hex}, headers={"Idempotency-Key": key})

    assert answer.status_code == 422
    assert answer.json()["issues"][0]["path"] == "header.idempotency-key"
