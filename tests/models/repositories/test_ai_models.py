from dataclasses import replace
from decimal import Decimal
from uuid import uuid4

import pytest

from engine.errors import Conflict, NotFound
from models.repositories.ai_budgets import AiBudgets
from models.repositories.ai_models import AiModels, ModelFields
from models.session import Database
from models.tenancy import TenantId, mint_tenant

GPT = ModelFields(
    name="gpt",
    provider="openai",
    model="gpt-5-mini",
    credential="openai",
    defaults={"temperature": 0.2, "options": {"store": False}},
    price_input=Decimal("0.25"),
    price_output=Decimal("2"),
    requests_per_minute=60,
    fallback=["local", "tiny"],
    fallback_on=["budget", "error"],
)


async def test_model_is_kept_replaced_and_removed(database: Database, tenant: TenantId) -> None:
    models = AiModels(database)
    made = await models.create(tenant, GPT)
    known = await models.get(tenant, made.id)
    assert {name: getattr(known, name) for name in GPT.__dataclass_fields__} == {
        name: getattr(GPT, name) for name in GPT.__dataclass_fields__
    }
    changed = await models.replace(
        tenant, made.id, ModelFields(name="gpt", provider="ollama", model="x", enabled=False)
    )
    assert (changed.provider, changed.price_input, changed.fallback, changed.enabled) == ("ollama", None, [], False)
    assert await models.names(tenant) == []
    await models.delete(tenant, made.id)
    with pytest.raises(NotFound):
        await models.get(tenant, made.id)
    with pytest.raises(NotFound):
        await models.replace(tenant, made.id, GPT)


async def test_name_is_unique_in_its_tenant_alone(database: Database, tenant: TenantId) -> None:
    models, stranger = AiModels(database), mint_tenant(uuid4())
    made = await models.create(tenant, GPT)
    other = await models.create(tenant, replace(GPT, name="other"))
    with pytest.raises(Conflict, match="gpt"):
        await models.create(tenant, GPT)
    with pytest.raises(Conflict):
        await models.replace(tenant, other.id, GPT)
    theirs = await models.create(stranger, GPT)
    with pytest.raises(NotFound):
        await models.get(stranger, made.id)
    with pytest.raises(NotFound):
        await models.delete(tenant, theirs.id)
    assert list(await models.named(tenant, ["gpt", "nothing"])) == ["gpt"]
    page = await models.list(tenant, limit=1)
    assert [row.name for row in page.items] == ["other"]
    assert [row.name for row in (await models.list(tenant, before=page.next)).items] == ["gpt"]


async def test_one_budget_a_scope_and_period(database: Database, tenant: TenantId) -> None:
    budgets, workflow = AiBudgets(database), uuid4()
    await budgets.create(tenant, None, "day", tokens=1, cost=None)
    await budgets.create(tenant, None, "month", tokens=1, cost=None)
    made = await budgets.create(tenant, workflow, "day", tokens=None, cost=Decimal("1.5"))
    with pytest.raises(Conflict, match="already"):
        await budgets.create(tenant, workflow, "day", tokens=2, cost=None)
    changed = await budgets.change(tenant, made.id, tokens=7, cost=None)
    assert (changed.tokens, changed.cost, changed.key) == (7, None, str(workflow))
    await budgets.delete(tenant, made.id)
    with pytest.raises(NotFound):
        await budgets.change(tenant, made.id, tokens=7, cost=None)
