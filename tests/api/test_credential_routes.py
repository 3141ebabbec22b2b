"""A person who may not use a credential, at every route by which a workflow could use it for her."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from api.resources import Resources
from models.ids import new_id
from models.tenancy import TenantId
from tests.api.conftest import caller, document
from tests.api.members import make_member

pytestmark = pytest.mark.asyncio(loop_scope="session")


@dataclass(slots=True)
class Scene:
    """`other` may edit and run the workflow, and may not use the credential that it names."""

    owner: httpx2.AsyncClient
    other: httpx2.AsyncClient
    credential: str
    document: dict[str, Any]
    workflow_id: str
    execution_id: str


async def _ended(resources: Resources, tenant: TenantId, workflow_id: str) -> str:
    """An execution of version 1 that has ended."""
    execution_id, place = new_id(), (tenant.uuid, UUID(workflow_id))
    async with resources.database.transaction(tenant) as transaction:
        version = "SELECT id FROM workflow_version WHERE tenant_id = $1 AND workflow_id = $2 AND number = 1"
        await transaction.execute(
            """INSERT INTO execution (tenant_id, id, workflow_id, version_id, workflow_name, status, finished_at)
               VALUES ($1, $3, $2, $4, 'w', 'success', now())""",
            *place, execution_id, await transaction.fetchval(version, *place),
        )  # fmt: skip
    return str(execution_id)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scene(app: FastAPI, resources: Resources, tenant: TenantId) -> AsyncIterator[Scene]:
    people = [await make_member(resources, tenant) for _ in range(2)]
    name = f"c-{uuid4().hex[:8]}"
    fields = {"name": name, "type": "bearer", "fields": {"token": "some-secret"}, "for_all_members": False}
    node = {"id": "a", "type": "http", "params": {"url": "https://api.example.org/"}, "credential": name}
    given = document(nodes=[node], edges=[])
    async with caller(app, people[0].token) as owner, caller(app, people[1].token) as other:
        made = await owner.post("/credentials", json={**fields, "allowed_hosts": ["api.example.org"]})
        assert made.status_code == 201, made.text
        saved = await owner.post("/workflows", json={"document": given})
        assert saved.status_code == 201, saved.text
        workflow_id = saved.json()["id"]
        await owner.put(f"/workflows/{workflow_id}/grants/{people[1].id}", json={"role": "editor"})
        yield Scene(owner, other, name, given, workflow_id, await _ended(resources, tenant, workflow_id))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/workflows/{workflow}/execute", {}),
        ("/executions", {"document": "the same"}),
        ("/executions/{execution}/rerun", {}),
        ("/executions/{execution}/rerun", {"version": 1}),
        ("/workflows/{workflow}/versions/1/publish", None),
        ("/workflows/{workflow}/rollback", {"version": 1}),
        ("/workflows/{workflow}/duplicate", {}),
        ("/schedules", {"workflow_id": "{workflow}", "name": "x", "cron": "0 6 * * *"}),
    ],
)
async def test_she_is_refused_with_the_name_of_the_credential(scene: Scene, path: str, body: Any) -> None:
    ids = {"workflow": scene.workflow_id, "execution": scene.execution_id}
    given = {
        name: scene.document if name == "document" else value.format(**ids) if isinstance(value, str) else value
        for name, value in (body or {}).items()
    }

    answer = await scene.other.post(path.format(**ids), json=given)

    assert (answer.status_code, answer.json()["code"]) == (403, "CREDENTIAL_DENIED"), answer.text
    assert answer.json()["details"] == {"credentials": [scene.credential]}


async def test_bulk_tells_it_of_each_execution_and_starts_none(scene: Scene) -> None:
    asked = {"action": "rerun", "dry_run": False, "filter": {"workflow_id": scene.workflow_id}}

    answer = await scene.other.post("/executions/bulk", json=asked)

    assert answer.status_code == 200, answer.text
    found = {result["id"]: (result["done"], result["code"]) for result in answer.json()["results"]}
    assert found[scene.execution_id] == (False, "CREDENTIAL_DENIED")
    assert not any(done for done, _ in found.values())


@pytest.mark.parametrize("status", ["paused", "archived"])
async def test_nothing_is_rerun_from_a_workflow_that_starts_nothing(
    api: httpx2.AsyncClient, resources: Resources, tenant: TenantId, status: str
) -> None:
    made = (await api.post("/workflows", json={"document": document()})).json()["id"]
    execution_id = await _ended(resources, tenant, made)
    await api.post(f"/workflows/{made}/{status.removesuffix('d')}")

    rerun = await api.post(f"/executions/{execution_id}/rerun")
    bulk = await api.post(
        "/executions/bulk", json={"action": "rerun", "dry_run": False, "filter": {"workflow_id": made}}
    )

    code = f"WORKFLOW_{status.upper()}"
    assert (rerun.status_code, rerun.json()["code"]) == (409, code)
    assert [result["code"] for result in bulk.json()["results"]] == [code]
