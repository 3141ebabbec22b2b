from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from engine.errors import NotFound
from models.ids import new_id
from models.repositories.approvals import Approvals
from models.session import Database
from models.tables import Approval
from models.tenancy import TenantId, mint_tenant

NOW = datetime(2026, 1, 2, tzinfo=UTC)
EXECUTION = uuid4()


def approval(tenant: TenantId, approval_id: UUID, status: str = "open", *said: str, **more: Any) -> Approval:
    given: dict[str, Any] = {
        "tenant_id": tenant.uuid,
        "id": approval_id,
        "execution_id": EXECUTION,
        "workflow_id": EXECUTION,
        "workflow_name": "w",
        "temporal_id": "t",
        "node_path": "ask",
        "iteration": [],
        "generation": 0,
        "execution_attempt": 1,
        "status": status,
        "message": "Pay?",
        "form": {"b": 1, "a": 2},
        "approvers": ["role:admin"],
        "quorum": 2,
        "allow_self": False,
        "started_by": "ada",
        "decisions": [{"by": name} for name in said],
        "deadline": NOW + timedelta(hours=1),
        "created_at": NOW,
        "closed_at": None if status == "open" else NOW,
    }
    return Approval(**{**given, **more})


async def test_an_approval_is_read_as_it_was_written(database: Database, tenant: TenantId) -> None:
    table, row = Approvals(database), approval(tenant, new_id())
    await table.record(tenant, row)
    found = await table.get(tenant, row.id)
    assert found.model_dump() == row.model_dump()
    assert list(found.form or {}) == ["b", "a"]


@pytest.mark.parametrize(
    ("writings", "status", "said"),
    [
        ([("open",), ("open", "a"), ("approved", "a", "b")], "approved", 2),
        ([("approved", "a", "b"), ("open", "a"), ("open",)], "approved", 2),  # in any order
        ([("open", "a"), ("open",)], "open", 1),
        ([("timeout",), ("cancelled",)], "timeout", 0),  # the first end stays
    ],
)
async def test_an_older_state_never_replaces_a_newer_one(
    database: Database, tenant: TenantId, writings: list[tuple[str, ...]], status: str, said: int
) -> None:
    table, approval_id = Approvals(database), new_id()
    for state, *people in writings:
        await table.record(tenant, approval(tenant, approval_id, state, *people))
    row = await table.get(tenant, approval_id)
    assert (row.status, len(row.decisions)) == (status, said)


async def test_text_that_a_column_cannot_hold_is_replaced(database: Database, tenant: TenantId) -> None:
    table, row = Approvals(database), approval(tenant, new_id(), message="a\x00b", decisions=[{"by": "a\x00"}])
    await table.record(tenant, row)
    assert (await table.get(tenant, row.id)).message == "a\ufffdb"


async def test_newest_asking_of_a_node_execution_is_found(database: Database, tenant: TenantId) -> None:
    table, first, second, other = Approvals(database), new_id(), new_id(), new_id()
    await table.record(tenant, approval(tenant, first, "rejected"))
    await table.record(tenant, approval(tenant, second))
    await table.record(tenant, approval(tenant, other, iteration=[1]))
    assert (await table.newest(tenant, EXECUTION, "ask", [])).id == second
    assert (await table.newest(tenant, EXECUTION, "ask", (1,))).id == other
    with pytest.raises(NotFound):
        await table.newest(tenant, EXECUTION, "ask", [2])


async def test_lists_are_narrowed_and_come_in_pages(database: Database, tenant: TenantId) -> None:
    table, ids = Approvals(database), [new_id() for _ in range(3)]
    for approval_id, status in zip(ids, ("open", "approved", "open"), strict=True):
        await table.record(tenant, approval(tenant, approval_id, status))
    first = await table.list(tenant, statuses=["open"], limit=1)
    rest = await table.list(tenant, statuses=["open"], before=first.next, limit=1)
    assert ([row.id for row in first.items], [row.id for row in rest.items], rest.next) == ([ids[2]], [ids[0]], None)
    assert len((await table.list(tenant)).items) == 3
    assert (await table.list(tenant, execution_id=uuid4())).items == []


async def test_another_tenant_sees_nothing(database: Database, tenant: TenantId) -> None:
    table, row = Approvals(database), approval(tenant, new_id())
    await table.record(tenant, row)
    other = mint_tenant(uuid4())
    assert (await table.list(other)).items == []
    with pytest.raises(NotFound):
        await table.get(other, row.id)
