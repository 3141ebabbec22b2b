"""How tenants share the task queues."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field

from engine.settings.section import SectionRules


def _as_written(text: str) -> str:
    return str(UUID(text))


TenantName = Annotated[str, AfterValidator(_as_written)]  # a tenant's id, as it is written everywhere


class FairnessSettings(SectionRules, BaseModel):
    """Shares of tenants in the task queues while tasks wait there: `weights` by a tenant's id, 1 for all others."""

    weights: dict[TenantName, Annotated[float, Field(ge=0.001, le=1000)]] = Field(default={})

    def weight_of(self, tenant: str) -> float:
        """The weight of the tenant with this id."""
        return self.weights.get(tenant, 1.0)
