"""What an installation keeps after a run: nothing open, nothing orphaned, no dangling reference, no secret."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, cast
from uuid import UUID

from engine.activities.clients.objects import ObjectStore
from engine.settings import Settings
from models.session import Database
from models.tenancy import TenantId
from tests.faults.installation import Tenancy
from tests.security.traces import Needles, at_rest

# Orphans: node executions and log lines without their execution, and node executions that are not over.
_ORPHANS = """
    SELECT 'a node execution without its execution: ' || n.execution_id || ' ' || n.node_path FROM node_execution n
     WHERE n.tenant_id = $1 AND NOT EXISTS (SELECT FROM execution e WHERE e.tenant_id = $1 AND e.id = n.execution_id)
    UNION ALL
    SELECT 'a log line without its execution: ' || l.execution_id FROM execution_log l
     WHERE l.tenant_id = $1 AND NOT EXISTS (SELECT FROM execution e WHERE e.tenant_id = $1 AND e.id = l.execution_id)
    UNION ALL
    SELECT 'a node execution that is not over: ' || n.execution_id || ' ' || n.node_path || ' ' || n.status
      FROM node_execution n
     WHERE n.tenant_id = $1 AND n.status IN ('pending', 'running', 'waiting', 'retrying')
    UNION ALL
    SELECT 'an execution that is not over: ' || e.id || ' ' || e.status FROM execution e
     WHERE e.tenant_id = $1 AND e.finished_at IS NULL
"""
_VALUES = """
    SELECT input::text, output::text, error::text FROM execution WHERE tenant_id = $1
    UNION ALL
    SELECT input::text, output::text, error::text FROM node_execution WHERE tenant_id = $1
"""
_EXECUTIONS = "SELECT id FROM execution WHERE tenant_id = $1"


async def unanswered(database: Database, tenant: TenantId, answered: set[UUID]) -> list[str]:
    """Executions that were answered 2xx and are not there, and those that are there and nobody was told of."""
    async with database.transaction(tenant) as transaction:
        found = {row[0] for row in await transaction.fetch(_EXECUTIONS, tenant.uuid)}
    lost = [f"{one} was answered 2xx and has no row" for one in answered - found]
    return lost + [f"{one} has a row and answers no start" for one in found - answered]


async def orphans(database: Database, tenant: TenantId) -> list[str]:
    """Rows that belong to nothing, or that still run."""
    async with database.transaction(tenant) as transaction:
        return [row[0] for row in await transaction.fetch(_ORPHANS, tenant.uuid)]


async def dangling_references(database: Database, tenant: TenantId, objects: ObjectStore) -> list[str]:
    """Values on record whose object is not in the store."""
    async with database.transaction(tenant) as transaction:
        rows = await transaction.fetch(_VALUES, tenant.uuid)
    wanted = {digest for row in rows for text in row if text for digest in references(json.loads(text))}
    return [f"object {one} is on record and not in the store" for one in sorted(wanted)
            if not await _is_there(objects, tenant, one)]  # fmt: skip


async def _is_there(objects: ObjectStore, tenant: TenantId, digest: str) -> bool:
    try:
        return await objects.exists(tenant, digest)
    except ValueError:
        return False


def references(value: Any) -> Iterator[str]:
    """The objects that a Value refers to; data inside of inline values is never taken for a reference."""
    if isinstance(value, list):
        for member in cast("list[Any]", value):
            yield from references(member)
    elif isinstance(value, dict):
        form = cast("dict[str, Any]", value)
        if "v" in form:
            return
        if "r" in form and "t" in form:
            yield str(form["r"])
        for member in form.values():
            yield from references(member)


async def leaks(settings: Settings, canary: str, callers: Sequence[Tenancy] = ()) -> list[str]:
    """Where the canary stands in readable form: rows, Redis, objects, logs, Temporal's database, exports."""
    needles = Needles([canary])
    places = {place async for place, data in at_rest(settings) if needles.found_in(data)}
    async for place, data in _exports(callers):
        if needles.found_in(data):
            places.add(place)
    return [f"the canary stands in {place}" for place in sorted(places)]


async def _exports(callers: Sequence[Tenancy]) -> AsyncIterator[tuple[str, bytes]]:
    for tenancy in callers:
        answer = await tenancy.client.get(
            "/executions/export", params={"format": "ndjson", "full": "true"}, timeout=300
        )
        assert answer.is_success, f"the export was answered {answer.status_code}: {answer.text[:300]}"
        yield "an export", answer.content
