import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from engine.errors import Conflict, NotFound
from models.repositories.workflows import Versions, Workflows, spec_digest
from models.session import Database
from models.tenancy import TenantId, mint_tenant


def spec(name: str = "orders", **more: Any) -> dict[str, Any]:
    return {"name": name, "nodes": [{"id": "start", "type": "manual"}], **more}


async def test_new_workflow_has_its_spec_as_version_one(database: Database, tenant: TenantId) -> None:
    saved = await Workflows(database).create(tenant, spec(description="all"), owner="ann", note="first")
    version = await Versions(database).get_number(tenant, saved.workflow.id, 1)
    assert (saved.workflow.name, saved.workflow.description, saved.workflow.owner) == ("orders", "all", "ann")
    assert version.spec == spec(description="all")
    assert (version.id, version.note) == (saved.version.id, "first")
    assert version.digest == spec_digest({"nodes": spec()["nodes"], "description": "all", "name": "orders"})


async def test_name_is_unique_within_a_tenant_only(database: Database, tenant: TenantId) -> None:
    workflows = Workflows(database)
    await workflows.create(tenant, spec())
    with pytest.raises(Conflict) as refused:
        await workflows.create(tenant, spec())
    assert refused.value.code == "NAME_TAKEN"
    await workflows.create(mint_tenant(uuid4()), spec())


async def test_saving_counts_versions_up_and_skips_an_unchanged_spec(database: Database, tenant: TenantId) -> None:
    workflows = Workflows(database)
    first = await workflows.create(tenant, spec())
    same = await workflows.save(tenant, first.workflow.id, spec())
    second = await workflows.save(tenant, first.workflow.id, spec(description="new"))
    assert (same.is_new, same.version.number) == (False, 1)
    assert (second.is_new, second.version.number, second.workflow.latest_version) == (True, 2, 2)
    assert [v.number for v in await Versions(database).list(tenant, first.workflow.id)] == [2, 1]


async def test_save_over_an_unseen_version_is_a_conflict(database: Database, tenant: TenantId) -> None:
    workflows = Workflows(database)
    workflow_id = (await workflows.create(tenant, spec())).workflow.id
    saves = (workflows.save(tenant, workflow_id, spec(description=str(i)), expected_latest=1) for i in range(5))
    outcomes = await asyncio.gather(*saves, return_exceptions=True)
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 4
    assert (await workflows.get(tenant, workflow_id)).latest_version == 2


async def test_version_can_never_be_changed_by_the_application(database: Database, tenant: TenantId) -> None:
    await Workflows(database).create(tenant, spec())
    for statement in ("UPDATE workflow_version SET note = 'x'", "DELETE FROM workflow_version"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with database.transaction(tenant) as transaction:
                await transaction.execute(statement)


async def test_only_an_existing_version_can_be_published(database: Database, tenant: TenantId) -> None:
    workflows = Workflows(database)
    workflow_id = (await workflows.create(tenant, spec())).workflow.id
    assert (await workflows.publish(tenant, workflow_id, 1)).published_version == 1
    with pytest.raises(NotFound):
        await workflows.publish(tenant, workflow_id, 9)
    assert (await workflows.publish(tenant, workflow_id, None)).published_version is None


async def test_list_searches_names_and_leaves_archived_ones_out(database: Database, tenant: TenantId) -> None:
    workflows = Workflows(database)
    ids = [(await workflows.create(tenant, spec(name))).workflow.id for name in ("Alpha", "beta", "alphabet")]
    await workflows.set_status(tenant, ids[2], "archived")
    assert [w.name for w in (await workflows.list(tenant, search="ALPHA")).items] == ["Alpha"]
    assert [w.name for w in (await workflows.list(tenant, status=None)).items] == ["alphabet", "beta", "Alpha"]
    page = await workflows.list(tenant, limit=1)
    assert [w.name for w in page.items] == ["beta"]
    assert [w.name for w in (await workflows.list(tenant, limit=1, before=page.next)).items] == ["Alpha"]
    assert (await workflows.get_by_name(tenant, "beta")).id == ids[1]


async def test_another_tenants_workflow_and_version_are_not_found(database: Database, tenant: TenantId) -> None:
    saved, stranger = await Workflows(database).create(tenant, spec()), mint_tenant(uuid4())
    with pytest.raises(NotFound):
        await Workflows(database).get(stranger, saved.workflow.id)
    with pytest.raises(NotFound):
        await Versions(database).get(stranger, saved.version.id)
    with pytest.raises(NotFound):
        await Workflows(database).save(stranger, saved.workflow.id, spec())
