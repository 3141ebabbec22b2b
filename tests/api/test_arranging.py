"""Folders and templates are arranged by those who edit workflows, not by those who read them."""

from __future__ import annotations

from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from api.resources import Resources
from models.repositories.tenants import Tenants
from models.tenancy import TenantId, mint_tenant
from tests.api.conftest import caller, document
from tests.api.members import Somebody, make_member

pytestmark = pytest.mark.asyncio(loop_scope="session")


class House:
    """A tenant with an owner of a workflow in a folder, and a reader of it."""

    def __init__(self, app: FastAPI, owner: Somebody, reader: Somebody) -> None:
        self.owner, self.reader = caller(app, owner.token), caller(app, reader.token)
        self.reader_id = reader.id
        self.folder = self.workflow = ""

    async def furnish(self) -> None:
        self.folder = (await self.owner.post("/folders", json={"name": "ours"})).json()["id"]
        made = await self.owner.post("/workflows", json={"document": document()})
        self.workflow = made.json()["id"]
        await self.owner.patch(f"/workflows/{self.workflow}", json={"folder_id": self.folder})

    async def grant(self, role: str) -> None:
        await self.owner.put(f"/workflows/{self.workflow}/grants/{self.reader_id}", json={"role": role})


@pytest_asyncio.fixture(loop_scope="session")
async def house(app: FastAPI, resources: Resources) -> House:
    tenant: TenantId = mint_tenant((await Tenants(resources.database).create(f"house-{uuid4().hex[:8]}")).id)
    found = House(app, await make_member(resources, tenant), await make_member(resources, tenant))
    await found.furnish()
    return found


async def _arrange(client: httpx2.AsyncClient, folder: str) -> list[int]:
    empty = await client.post("/folders", json={"name": f"f-{uuid4().hex[:8]}"})
    renamed = await client.patch(f"/folders/{folder}", json={"name": f"f-{uuid4().hex[:8]}"})
    return [empty.status_code, renamed.status_code]


@pytest.mark.parametrize(
    ("role", "statuses"), [("viewer", [403, 403]), ("executor", [403, 403]), ("editor", [201, 200])]
)
async def test_folders_are_for_editors(house: House, role: str, statuses: list[int]) -> None:
    await house.grant(role)

    assert await _arrange(house.reader, house.folder) == statuses


async def test_a_folder_of_others_workflows_stays_where_it_is(house: House) -> None:
    """A newcomer may make folders of her own."""
    assert await _arrange(house.reader, house.folder) == [201, 403]


async def test_an_empty_folder_is_not_deleted_by_a_reader(house: House) -> None:
    await house.grant("viewer")
    empty = (await house.owner.post("/folders", json={"name": "empty"})).json()["id"]

    assert (await house.reader.delete(f"/folders/{empty}")).status_code == 403
    assert (await house.owner.delete(f"/folders/{empty}")).status_code == 204


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("editor", 204)])
async def test_a_template_is_deleted_by_its_author_or_an_editor(house: House, role: str, status: int) -> None:
    await house.grant(role)
    body = {"workflow_id": house.workflow, "name": f"t-{uuid4().hex[:8]}"}
    made = (await house.owner.post("/templates", json=body)).json()["id"]

    assert (await house.reader.delete(f"/templates/{made}")).status_code == status
    if status == 403:
        assert (await house.owner.delete(f"/templates/{made}")).status_code == 204
