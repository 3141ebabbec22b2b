"""AI models of a tenant."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg

from engine.errors import Conflict, NotFound
from models.ids import new_id
from models.repositories.records import Page, columns_of, page_of, row_of
from models.session import Database
from models.tables import AiModel
from models.tenancy import TenantId

_ALL = columns_of(AiModel)
_FIELDS = (
    "name", "provider", "model", "base_url", "credential", "defaults", "price_input", "price_output", "price_image",
    "requests_per_minute", "tokens_per_minute", "concurrency", "fallback", "fallback_on", "enabled",
)  # fmt: skip
_INSERT = f"""
    INSERT INTO ai_model (tenant_id, id, {", ".join(_FIELDS)})
    VALUES ($1, $2, {", ".join(f"${number}" for number in range(3, 3 + len(_FIELDS)))}) RETURNING {_ALL}
"""
_UPDATE = f"""
    UPDATE ai_model SET {", ".join(f"{name} = ${number}" for number, name in enumerate(_FIELDS, 3))}, updated_at = now()
     WHERE tenant_id = $1 AND id = $2 RETURNING {_ALL}
"""
_GET = f"SELECT {_ALL} FROM ai_model WHERE tenant_id = $1 AND id = $2"
_NAMED = f"SELECT {_ALL} FROM ai_model WHERE tenant_id = $1 AND name = ANY ($2)"
_NAMES = "SELECT name FROM ai_model WHERE tenant_id = $1 AND enabled ORDER BY name LIMIT $2"
_LIST = f"""
    SELECT {_ALL} FROM ai_model WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3
"""
_DELETE = "DELETE FROM ai_model WHERE tenant_id = $1 AND id = $2 RETURNING 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFields:
    """What people say about a model; see `models.tables.ai_model`."""

    name: str
    provider: str
    model: str
    base_url: str | None = None
    credential: str | None = None
    defaults: dict[str, Any] = field(default_factory=dict[str, Any])
    price_input: Decimal | None = None
    price_output: Decimal | None = None
    price_image: Decimal | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    fallback: list[str] = field(default_factory=list[str])
    fallback_on: list[str] = field(default_factory=lambda: ["budget"])
    enabled: bool = True

    def values(self) -> list[Any]:
        """The fields in the order of `_FIELDS`."""
        known = asdict(self)
        return [known[name] for name in _FIELDS]


class AiModels:
    """The table `ai_model`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, tenant: TenantId, given: ModelFields) -> AiModel:
        """Raises: Conflict if the name is taken."""
        return await self._write(_INSERT, tenant, new_id(), given)

    async def replace(self, tenant: TenantId, model_id: UUID, given: ModelFields) -> AiModel:
        """Put these fields in place of all there were. Raises: NotFound; Conflict if the name is taken."""
        return await self._write(_UPDATE, tenant, model_id, given)

    async def get(self, tenant: TenantId, model_id: UUID) -> AiModel:
        """Raises: NotFound."""
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(_GET, tenant.uuid, model_id)
        return row_of(AiModel, _found(record, model_id))

    async def named(self, tenant: TenantId, names: list[str]) -> dict[str, AiModel]:
        """Those of the named models that there are, whether enabled or not."""
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(_NAMED, tenant.uuid, names)
        return {record["name"]: row_of(AiModel, record) for record in records}

    async def names(self, tenant: TenantId, limit: int = 50) -> list[str]:
        """Names of enabled models, sorted."""
        async with self._database.transaction(tenant) as transaction:
            return [record[0] for record in await transaction.fetch(_NAMES, tenant.uuid, limit)]

    async def list(self, tenant: TenantId, *, before: UUID | None = None, limit: int = 50) -> Page[AiModel]:
        """Newest first."""
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(_LIST, tenant.uuid, before, limit + 1)
        return page_of([row_of(AiModel, record) for record in records], limit)

    async def delete(self, tenant: TenantId, model_id: UUID) -> None:
        """Raises: NotFound."""
        async with self._database.transaction(tenant) as transaction:
            _found(await transaction.fetchrow(_DELETE, tenant.uuid, model_id), model_id)

    async def _write(self, query: str, tenant: TenantId, model_id: UUID, given: ModelFields) -> AiModel:
        try:
            async with self._database.transaction(tenant) as transaction:
                record = await transaction.fetchrow(query, tenant.uuid, model_id, *given.values())
        except asyncpg.UniqueViolationError:
            message = f"another model is called {given.name!r}"
            raise Conflict(message, code="NAME_TAKEN", details={"name": given.name}) from None
        return row_of(AiModel, _found(record, model_id))


def _found(record: asyncpg.Record | None, model_id: UUID) -> asyncpg.Record:
    if record is None:
        raise NotFound(f"no AI model {model_id}")
    return record
