"""Budgets over HTTP."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import httpx2
import pytest

from api.resources import Resources
from models.ids import new_id
from models.repositories.ai_calls import AiCalls, NewCall, Settlement
from models.tenancy import TenantId
from tests.api.conftest import document

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def used(
    resources: Resources, tenant: TenantId, workflow: UUID, execution: UUID, *, settle: bool = True, **more: object
) -> None:
    """A call of that workflow: 100 tokens for 0.50, or the same reserved."""
    known: dict[str, object] = {"node_path": f"n{uuid4().hex[:6]}", "iteration": (), "model": "small", **more}
    call = NewCall(
        id=new_id(), execution_id=execution, workflow_id=workflow, generation=0, attempt=1, ask=0, holder=uuid4(),
        provider="openai", tokens=100, cost=Decimal("0.5"), lasts=timedelta(minutes=1), **known,  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    await AiCalls(resources.database).reserve(tenant, call)
    if settle:
        await AiCalls(resources.database).settle(tenant, call.id, Settlement(90, 10, Decimal("0.5")))


async def test_budget_shows_what_is_used_and_reserved_of_it(
    api: httpx2.AsyncClient, resources: Resources, tenant: TenantId
) -> None:
    workflow = UUID((await api.post("/workflows", json={"document": document()})).json()["id"])
    await used(resources, tenant, workflow, uuid4())
    await used(resources, tenant, workflow, uuid4(), settle=False)
    made = await api.post("/budgets", json={"workflow_id": str(workflow), "period": "month", "cost": "2.5"})
    assert made.status_code == 201
    known = made.json()
    assert (known["scope"], known["workflow_id"], known["cost"], known["tokens"]) == (
        "workflow",
        str(workflow),
        2.5,
        None,
    )
    assert (known["used_tokens"], known["used_cost"]) == (100, 0.5)
    assert (known["reserved_tokens"], known["reserved_cost"]) == (100, 0.5)
    assert known["frees_at"].endswith("-01T00:00:00Z")
    changed = await api.put(f"/budgets/{known['id']}", json={"tokens": 7})
    assert (changed.json()["tokens"], changed.json()["cost"]) == (7, None)
    assert known["id"] in [item["id"] for item in (await api.get("/budgets")).json()["items"]]
    again = await api.post("/budgets", json={"workflow_id": str(workflow), "period": "month", "tokens": 1})
    assert (again.status_code, again.json()["code"]) == (409, "BUDGET_EXISTS")
    assert (await api.delete(f"/budgets/{known['id']}")).status_code == 204
    assert (await api.get(f"/budgets/{known['id']}")).status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"period": "day"},
        {"period": "week", "tokens": 1},
        {"period": "day", "tokens": -1},
        {"period": "day", "cost": "much"},
        {"period": "day", "tokens": 1, "scope": "tenant"},
    ],
)
async def test_wrong_budget_is_refused(api: httpx2.AsyncClient, wrong: dict[str, object]) -> None:
    answer = await api.post("/budgets", json=wrong)
    assert (answer.status_code, len(answer.json()["issues"])) == (422, 1)


async def test_budget_of_an_unknown_or_foreign_workflow_is_not_made(
    api: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    workflow = (await api.post("/workflows", json={"document": document()})).json()["id"]
    for client, named in ((api, str(uuid4())), (stranger, workflow)):
        answer = await client.post("/budgets", json={"workflow_id": named, "period": "day", "tokens": 1})
        assert answer.status_code == 404
    made = (await api.post("/budgets", json={"workflow_id": workflow, "period": "day", "tokens": 1})).json()
    assert (await stranger.get(f"/budgets/{made['id']}")).status_code == 404
    assert (await stranger.put(f"/budgets/{made['id']}", json={"tokens": 1})).status_code == 404
    assert (await stranger.get("/budgets")).json()["items"] == []
