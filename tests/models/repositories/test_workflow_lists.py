from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from models.repositories.folders import Folders
from models.repositories.grants import Sight
from models.repositories.workflow_lists import Order, WorkflowFilter, WorkflowLists, list_query
from models.repositories.workflows import Workflows
from models.session import Database
from models.tables import Workflow
from models.tenancy import TenantId, mint_tenant
from tests.models.server import PostgresServer


async def make(database: Database, tenant: TenantId, name: str, *tags: str, **more: Any) -> Workflow:
    spec = {"name": name, "nodes": [{"id": "start", "type": "manual"}], "description": more.pop("description", "")}
    return (await Workflows(database).create(tenant, spec, tags=sorted(tags), **more)).workflow


async def names(database: Database, tenant: TenantId, order: Order = "name", **narrowed: Any) -> list[str]:
    rows, _ = await WorkflowLists(database).page(tenant, WorkflowFilter(**narrowed), order=order)
    return [row.name for row in rows]


async def test_search_finds_part_of_name_description_and_tag_in_any_case(database: Database, tenant: TenantId) -> None:
    await make(database, tenant, "Orders")
    await make(database, tenant, "other", description="what ORDERED goods cost")
    await make(database, tenant, "third", "reorder")
    await make(database, tenant, "fourth", description="100%_sure")

    assert await names(database, tenant, search="oRDer") == ["Orders", "other", "third"]
    assert await names(database, tenant, search="0%_s") == ["fourth"], "no pattern, but text"
    assert await names(database, tenant, search="%") == ["fourth"]


async def test_tags_narrow_to_all_or_any(database: Database, tenant: TenantId) -> None:
    await make(database, tenant, "both", "a", "b")
    await make(database, tenant, "one", "a")
    await make(database, tenant, "none")

    assert await names(database, tenant, tags=("a", "b")) == ["both"]
    assert await names(database, tenant, tags=("a", "b"), any_tag=True) == ["both", "one"]
    assert await names(database, mint_tenant(uuid4()), tags=("a",)) == []
    assert await WorkflowLists(database).tags(tenant) == [("a", 2), ("b", 1)]
    assert await WorkflowLists(database).tags(tenant, "b") == [("b", 1)]


async def test_setting_tags_replaces_them(database: Database, tenant: TenantId) -> None:
    made = await make(database, tenant, "w", "old")
    assert (await Workflows(database).set_tags(tenant, made.id, ["new"])).tags == ["new"]
    assert await WorkflowLists(database).tags(tenant) == [("new", 1)]


async def test_folders_narrow_with_and_without_those_below(database: Database, tenant: TenantId) -> None:
    top = await Folders(database).create(tenant, "top")
    inner = await Folders(database).create(tenant, "inner", top.id)
    await make(database, tenant, "outside")
    await make(database, tenant, "in top", folder_id=top.id)
    await make(database, tenant, "in inner", folder_id=inner.id)

    assert await names(database, tenant, folder="top") == ["outside"]
    assert await names(database, tenant, folder=top.id) == ["in top"]
    assert await names(database, tenant, folder=top.id, with_subfolders=True) == ["in inner", "in top"]


async def test_status_owner_and_time_narrow(database: Database, tenant: TenantId) -> None:
    made = await make(database, tenant, "mine", owner="ann", publish=True)
    await make(database, tenant, "draft", owner="ben")

    assert await names(database, tenant, owner="ann") == ["mine"]
    assert await names(database, tenant, statuses=("draft", "paused")) == ["draft"]
    assert await names(database, tenant, updated_since=made.updated_at + timedelta(hours=1)) == []
    assert await names(database, tenant, updated_since=made.updated_at) == ["draft", "mine"]


async def test_lists_show_what_the_eyes_may_see(database: Database, tenant: TenantId) -> None:
    ann, ben = uuid4(), uuid4()
    await make(database, tenant, "hers", "x", owner=str(ann))
    shared = await make(database, tenant, "everybody's", "x")

    assert await names(database, tenant, sight=Sight(member=ann)) == ["everybody's", "hers"]
    assert await names(database, tenant, sight=Sight(member=ben)) == ["everybody's"]
    assert await names(database, tenant, sight=Sight(workflow=shared.id)) == ["everybody's"]
    assert await WorkflowLists(database).tags(tenant, sight=Sight(member=ben)) == [("x", 1)]


@pytest.mark.parametrize("order", ["created", "-created", "updated", "-updated", "name", "-name"])
async def test_pages_hold_each_row_once_while_others_are_made(
    database: Database, tenant: TenantId, order: Order
) -> None:
    made = [await make(database, tenant, f"w{(n * 7) % 10}") for n in range(10)]
    lists, seen, place = WorkflowLists(database), list[UUID](), None
    while True:
        rows, place = await lists.page(tenant, WorkflowFilter(), order=order, after=place, limit=3)
        seen += [row.id for row in rows]
        if place is None:
            break
        await make(database, tenant, f"w{len(seen)} new")
    before = [row for row in seen if row in {workflow.id for workflow in made}]

    key = {"created": lambda w: w.id, "updated": lambda w: w.updated_at, "name": lambda w: w.name}[order.lstrip("-")]
    expected = [w.id for w in sorted(made, key=key, reverse=order.startswith("-"))]
    assert before == expected
    assert len(seen) == len(set(seen))


async def test_lists_of_a_tenant_read_an_index_and_not_the_table(postgres: PostgresServer, database: Database) -> None:
    """Row security lets no pattern near an index, so the tenant's rows are what bounds a search."""
    small = mint_tenant(uuid4())
    await make(database, small, "needle", "rare")
    await _fill(postgres, tenants=40, each=100)
    narrowings: list[tuple[WorkflowFilter, Order]] = [
        (WorkflowFilter(search="need"), "-created"),
        (WorkflowFilter(tags=("rare",)), "-created"),
        (WorkflowFilter(), "-updated"),
        (WorkflowFilter(), "name"),
        (WorkflowFilter(folder=uuid4()), "-created"),
    ]
    for narrowed, order in narrowings:
        text, arguments = list_query(small, narrowed, order=order, after=None, limit=50)
        async with database.transaction(small) as transaction:
            plan = json.dumps(await transaction.fetchval(f"EXPLAIN (FORMAT JSON) {text}", *arguments))
        assert "Index" in plan, (narrowed, plan)
        assert "Seq Scan" not in plan, (narrowed, plan)


async def _fill(postgres: PostgresServer, *, tenants: int, each: int) -> None:
    connection = await asyncpg.connect(postgres.url("postgres", "structforge"))
    try:
        await connection.execute(
            "INSERT INTO workflow (tenant_id, id, name) SELECT t, gen_random_uuid(), 'w' || n FROM"
            f" (SELECT gen_random_uuid() AS t FROM generate_series(1, {tenants})) s, generate_series(1, {each}) n"
        )
        await connection.execute(
            "INSERT INTO workflow_tag SELECT tenant_id, 'common', id FROM workflow ON CONFLICT DO NOTHING"
        )
        await connection.execute("ANALYZE workflow")
        await connection.execute("ANALYZE workflow_tag")
    finally:
        await connection.close()
