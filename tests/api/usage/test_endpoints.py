"""Usage over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import httpx2
import pytest

from api.resources import Resources
from models.repositories.node_executions import NodeExecutions
from models.rows import NodeRow
from models.tenancy import TenantId
from tests.api.budgets.test_endpoints import used
from tests.models.fixtures import make_execution

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def made(resources: Resources, tenant: TenantId) -> UUID:
    """An execution whose node `ask` made three calls of two models, in its passes 0 and 1."""
    execution, workflow = await make_execution(resources.database, tenant), uuid4()
    rows = [
        NodeRow(tenant, execution, path, "text_generation", "success", iteration=iteration)
        for path, iteration in (("ask", (0,)), ("ask", (1,)), ("other", ()))
    ]
    await NodeExecutions(resources.database).write(rows)
    for iteration, model in (((0,), "small"), ((0,), "large"), ((1,), "small")):
        more = {"node_path": "ask", "iteration": iteration, "model": model}
        await used(resources, tenant, workflow, execution, **more)
    return execution


async def test_usage_of_an_execution_is_given_whole_and_by_node_and_model(
    api: httpx2.AsyncClient, stranger: httpx2.AsyncClient, resources: Resources, tenant: TenantId
) -> None:
    execution = await made(resources, tenant)
    usage = (await api.get(f"/executions/{execution}/usage")).json()
    assert usage["total"] == {
        "calls": 3, "failed_calls": 0, "input_tokens": 270, "output_tokens": 30, "images": 0, "cost": 1.5,
    }  # fmt: skip
    assert [(node["iteration"], node["model"], node["cost"]) for node in usage["nodes"]] == [
        ([0], "large", 0.5),
        ([0], "small", 0.5),
        ([1], "small", 0.5),
    ]
    assert (await stranger.get(f"/executions/{execution}/usage")).status_code == 404


async def test_node_executions_carry_what_they_used(
    api: httpx2.AsyncClient, resources: Resources, tenant: TenantId
) -> None:
    execution = await made(resources, tenant)
    nodes = (await api.get(f"/executions/{execution}/nodes")).json()["items"]
    shown = {(node["path"], *node["iteration"]): node["usage"] for node in nodes}
    assert shown["other",] is None
    assert shown["ask", 0] == {
        "calls": 2, "input_tokens": 180, "output_tokens": 20, "images": 0, "cost": 1.0, "model": None,
        "provider": "openai",
    }  # fmt: skip
    assert (shown["ask", 1]["calls"], shown["ask", 1]["model"]) == (1, "small")


async def test_usage_is_grouped_and_bounded_by_time(
    api: httpx2.AsyncClient, stranger: httpx2.AsyncClient, resources: Resources, tenant: TenantId
) -> None:
    workflow, first, second = uuid4(), uuid4(), uuid4()
    for execution, model in ((first, "small"), (first, "large"), (second, "small")):
        await used(resources, tenant, workflow, execution, model=model)
    today = datetime.now(UTC).date()

    async def groups(client: httpx2.AsyncClient = api, **query: str) -> dict[str, int]:
        answer = await client.get("/usage", params={"workflow": str(workflow), **query})
        assert answer.status_code == 200, answer.text
        return {group["key"]: group["calls"] for group in answer.json()["groups"]}

    assert await groups() == {"total": 3}
    assert await groups(group_by="model") == {"large": 1, "small": 2}
    assert await groups(group_by="execution") == {str(first): 2, str(second): 1}
    assert await groups(group_by="workflow") == {str(workflow): 3}
    assert await groups(group_by="day", **{"from": str(today - timedelta(days=1)), "to": str(today)}) == {str(today): 3}
    assert await groups(to=str(today - timedelta(days=1))) == {}
    assert await groups(**{"from": f"{today}T00:00:00Z", "to": f"{today}T23:59:59+00:00"}) == {"total": 3}
    assert await groups(stranger) == {}
    cut = (await api.get("/usage", params={"workflow": str(workflow), "group_by": "model", "limit": 1})).json()
    assert (cut["truncated"], len(cut["groups"])) == (True, 1)


@pytest.mark.parametrize(
    "query", [{"group_by": "tenant"}, {"from": "2026-02-01", "to": "2026-01-01"}, {"from": "soon"}, {"workflow": "x"}]
)
async def test_wrong_question_is_refused(api: httpx2.AsyncClient, query: dict[str, str]) -> None:
    assert (await api.get("/usage", params=query)).status_code == 422
