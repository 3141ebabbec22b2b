import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from engine.errors import Conflict, NotFound
from models.repositories.executions import Executions, NewExecution
from models.repositories.workflow_lists import WorkflowLists
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


async def test_publishing_makes_a_draft_active_and_taking_it_back_makes_a_draft(
    database: Database, tenant: TenantId
) -> None:
    workflows = Workflows(database)
    draft = (await workflows.create(tenant, spec())).workflow
    published = (await workflows.create(tenant, spec("other"), publish=True)).workflow
    assert (draft.status, draft.published_version) == ("draft", None)
    assert (published.status, published.published_version) == ("active", 1)
    assert (await workflows.publish(tenant, draft.id, 1)).status == "active"
    assert (await workflows.publish(tenant, draft.id, None)).status == "draft"
    await workflows.set_status(tenant, published.id, "paused")
    assert (await workflows.publish(tenant, published.id, 1)).status == "paused"


async def test_a_version_with_errors_cannot_be_published(database: Database, tenant: TenantId) -> None:
    workflows = Workflows(database)
    draft = (await workflows.create(tenant, spec(), valid=False)).workflow
    with pytest.raises(NotFound, match="valid version 1"):
        await workflows.publish(tenant, draft.id, 1)
    mended = await workflows.save(tenant, draft.id, spec(), publish=True)
    assert (mended.is_new, mended.version.number, mended.workflow.status) == (True, 2, "active")


async def test_save_and_publish_are_one_step(database: Database, tenant: TenantId) -> None:
    workflows = Workflows(database)
    first = await workflows.create(tenant, spec(), publish=True)
    second = await workflows.save(tenant, first.workflow.id, spec(description="2"))
    same = await workflows.save(tenant, first.workflow.id, spec(description="2"), publish=True)
    assert (second.workflow.latest_version, second.workflow.published_version) == (2, 1)
    assert (same.is_new, same.workflow.published_version) == (False, 2)


async def test_status_turns_only_from_those_allowed(database: Database, tenant: TenantId) -> None:
    workflows = Workflows(database)
    draft = (await workflows.create(tenant, spec())).workflow
    assert await workflows.set_status(tenant, draft.id, "paused", allowed={"active"}) is None
    turned = await workflows.set_status(tenant, draft.id, "archived")
    assert turned is not None
    assert turned.status == "archived"


async def _executed(database: Database, tenant: TenantId, workflow_id: UUID, version_id: UUID) -> UUID:
    new = NewExecution(workflow_id, version_id, "orders")
    return (await Executions(database).create_execution(tenant, new)).execution.id


async def test_old_versions_go_but_not_those_published_or_executed(database: Database, tenant: TenantId) -> None:
    workflows, versions = Workflows(database), Versions(database)
    workflow_id = (await workflows.create(tenant, spec(), publish=True)).workflow.id
    for number in range(2, 8):
        saved = await workflows.save(tenant, workflow_id, spec(description=str(number)))
        if number == 3:
            await _executed(database, tenant, workflow_id, saved.version.id)
    other = await workflows.create(tenant, spec("other"))

    # Of 1 to 7 the last two stay; 1 is published and 3 was executed, so 2, 4 and 5 go.
    assert await versions.drop_old(tenant, workflow_id, 2) == 3
    assert [v.number for v in await versions.list(tenant, workflow_id)] == [7, 6, 3, 1]
    assert await versions.drop_old(tenant, workflow_id, 2) == 0
    assert await versions.drop_old(tenant, workflow_id, 0) == 1, "the latest stays in any case"
    assert len(await versions.list(tenant, other.workflow.id)) == 1


async def test_another_tenant_can_neither_drop_versions_nor_delete(database: Database, tenant: TenantId) -> None:
    workflows, stranger = Workflows(database), mint_tenant(uuid4())
    workflow_id = (await workflows.create(tenant, spec())).workflow.id
    await workflows.save(tenant, workflow_id, spec(description="2"))
    await workflows.set_status(tenant, workflow_id, "archived")
    assert await Versions(database).drop_old(stranger, workflow_id, 1) == 0
    async with database.transaction(stranger) as transaction:
        assert await transaction.fetchval("SELECT drop_old_versions($1, $2, 1)", tenant.uuid, workflow_id) == 0
        assert await transaction.fetchval("SELECT delete_workflow($1, $2)", tenant.uuid, workflow_id) == "missing"
    with pytest.raises(NotFound):
        await workflows.delete(stranger, workflow_id)


async def test_only_an_archived_workflow_without_running_executions_is_deleted(
    database: Database, tenant: TenantId
) -> None:
    workflows = Workflows(database)
    saved = await workflows.create(tenant, spec(), publish=True)
    workflow_id = saved.workflow.id
    await workflows.set_tags(tenant, workflow_id, ["a"])
    execution_id = await _executed(database, tenant, workflow_id, saved.version.id)
    with pytest.raises(Conflict) as active:
        await workflows.delete(tenant, workflow_id)
    await workflows.set_status(tenant, workflow_id, "archived")
    with pytest.raises(Conflict) as running:
        await workflows.delete(tenant, workflow_id)
    async with database.transaction(tenant) as transaction:
        await transaction.execute("UPDATE execution SET finished_at = now() WHERE id = $1", execution_id)
    await workflows.delete(tenant, workflow_id)

    assert (active.value.code, running.value.code) == ("NOT_ARCHIVED", "EXECUTION_RUNNING")
    with pytest.raises(NotFound):
        await workflows.get(tenant, workflow_id)
    assert await Versions(database).list(tenant, workflow_id) == []
    assert await WorkflowLists(database).tags(tenant) == []
    assert (await Executions(database).get(tenant, execution_id)).workflow_name == "orders"


async def test_another_tenants_workflow_and_version_are_not_found(database: Database, tenant: TenantId) -> None:
    saved, stranger = await Workflows(database).create(tenant, spec()), mint_tenant(uuid4())
    with pytest.raises(NotFound):
        await Workflows(database).get(stranger, saved.workflow.id)
    with pytest.raises(NotFound):
        await Versions(database).get(stranger, saved.version.id)
    with pytest.raises(NotFound):
        await Workflows(database).save(stranger, saved.workflow.id, spec())
