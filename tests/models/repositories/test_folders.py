from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest

from engine.errors import Conflict, NotFound
from models.repositories.folders import MAX_DEPTH, Folders
from models.repositories.workflows import Workflows
from models.session import Database
from models.tenancy import TenantId, mint_tenant

SPEC = {"name": "w", "nodes": [{"id": "start", "type": "manual"}]}


async def test_a_name_is_unique_within_a_parent_and_at_the_top(database: Database, tenant: TenantId) -> None:
    folders = Folders(database)
    top = await folders.create(tenant, "a")
    await folders.create(tenant, "a", top.id)
    for parent in (None, top.id):
        with pytest.raises(Conflict) as taken:
            await folders.create(tenant, "a", parent)
        assert taken.value.code == "NAME_TAKEN"
    await folders.create(mint_tenant(uuid4()), "a")


async def test_folders_stand_so_deep_and_no_deeper_moves_included(database: Database, tenant: TenantId) -> None:
    folders = Folders(database)
    parent: UUID | None = None
    for number in range(MAX_DEPTH):
        parent = (await folders.create(tenant, f"f{number}", parent)).id
    with pytest.raises(Conflict) as deep:
        await folders.create(tenant, "more", parent)
    pair = await folders.create(tenant, "pair")
    await folders.create(tenant, "child", pair.id)
    above = next(folder.parent_id for folder in await folders.all(tenant) if folder.id == parent)
    with pytest.raises(Conflict) as moved:
        await folders.change(tenant, pair.id, "pair", above)
    assert (deep.value.code, moved.value.code) == ("FOLDER_TOO_DEEP", "FOLDER_TOO_DEEP")


async def test_a_folder_cannot_move_into_itself_or_below(database: Database, tenant: TenantId) -> None:
    folders = Folders(database)
    top = await folders.create(tenant, "top")
    inner = await folders.create(tenant, "inner", top.id)
    for parent in (top.id, inner.id):
        with pytest.raises(Conflict) as cycle:
            await folders.change(tenant, top.id, "top", parent)
        assert cycle.value.code == "FOLDER_CYCLE"


async def test_two_moves_at_once_make_no_cycle_together(database: Database, tenant: TenantId) -> None:
    folders = Folders(database)
    for number in range(5):
        one, other = [await folders.create(tenant, f"{side}{number}") for side in "lr"]
        outcomes = await asyncio.gather(
            folders.change(tenant, one.id, one.name, other.id),
            folders.change(tenant, other.id, other.name, one.id),
            return_exceptions=True,
        )
        assert sorted(isinstance(outcome, Conflict) for outcome in outcomes) == [False, True]


async def test_only_an_empty_folder_is_deleted(database: Database, tenant: TenantId) -> None:
    folders = Folders(database)
    top, other = await folders.create(tenant, "top"), await folders.create(tenant, "other")
    inner = await folders.create(tenant, "inner", top.id)
    workflow = (await Workflows(database).create(tenant, SPEC, folder_id=inner.id)).workflow
    for folder in (top, inner):
        with pytest.raises(Conflict) as full:
            await folders.delete(tenant, folder.id)
        assert full.value.code == "FOLDER_NOT_EMPTY"
    assert (await Workflows(database).move(tenant, workflow.id, other.id)).folder_id == other.id
    await folders.delete(tenant, inner.id)
    await folders.delete(tenant, top.id)
    with pytest.raises(NotFound):
        await folders.delete(tenant, top.id)


async def test_folders_of_others_are_not_there(database: Database, tenant: TenantId) -> None:
    folders, stranger = Folders(database), mint_tenant(uuid4())
    theirs = await folders.create(stranger, "theirs")
    workflow = (await Workflows(database).create(tenant, SPEC)).workflow
    with pytest.raises(NotFound):
        await folders.create(tenant, "mine", theirs.id)
    with pytest.raises(NotFound):
        await folders.get(tenant, theirs.id)
    with pytest.raises(NotFound):
        await Workflows(database).move(tenant, workflow.id, theirs.id)
    with pytest.raises(NotFound):
        await Workflows(database).create(tenant, {**SPEC, "name": "x"}, folder_id=theirs.id)
