"""Bulk commands: the executions of a filter that the caller may control, each commanded on its own.

A request with a key puts down which executions it chose before it does anything. Repeated, it goes on with the same
ones, or answers what came of it: nobody else is drawn in meanwhile.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import orjson

from api.auth import Identity
from api.executions import commands, journal, rerunning
from api.executions.bulk_schemas import Action, BulkReply, BulkRequest, BulkResult
from api.executions.service import reply_of
from api.executions.starting import Order
from api.people import person_of
from api.permissions import Permission, check_granted
from api.resources import Resources
from api.vouching import vouch_for_rerun
from api.workflow_access import role_on, sight_of
from engine.errors import Conflict, StructForgeError
from models.repositories.bulk_requests import BulkRequests
from models.repositories.execution_lists import ExecutionFilter, ExecutionLists, Place
from models.repositories.executions import Executions
from models.repositories.node_executions import NodeExecutions
from models.roles import Role
from models.rows import TERMINAL_EXECUTION_STATUSES
from models.tables import Execution

MAX_COUNTED = 10_000
MAX_LOOKED_AT = 5_000  # executions whose workflows are asked about
MAX_NODES = 100  # of one execution that are tried again
SHOWN = 20
AT_ONCE = 10
_OPEN = ("pending", "running", "paused")
_TAKES: dict[Action, Sequence[str]] = {  # the states in which an action makes sense
    "cancel": _OPEN,
    "pause": ("pending", "running"),
    "resume": ("paused",),
    "retry": ("running", "paused"),
    "rerun": TERMINAL_EXECUTION_STATUSES,
}


async def carry_out(resources: Resources, caller: Identity, asked: BulkRequest, key: str | None) -> BulkReply:
    """Raises: AccessDenied if the caller may not rerun; Conflict if the key was used for another request."""
    if asked.action == "rerun":
        check_granted((Permission.WORKFLOW_RUN,), caller.scopes)
    narrowed = _narrowed(caller, asked)
    if asked.dry_run:
        chosen, refused = await _chosen(resources, caller, narrowed, asked.limit)
        matched = await _count(resources, caller, narrowed)
        return _reply(asked, matched, refused, first=chosen[:SHOWN])
    if key is None:
        return await _unrepeatable(resources, caller, asked, narrowed)
    return await _once(resources, caller, asked, narrowed, key)


async def _unrepeatable(
    resources: Resources, caller: Identity, asked: BulkRequest, narrowed: ExecutionFilter
) -> BulkReply:
    matched = await _count(resources, caller, narrowed)
    chosen, refused = await _chosen(resources, caller, narrowed, asked.limit)
    results = await _command_all(resources, caller, asked, [row.id for row in chosen], None)
    return _reply(asked, matched, refused, results=results)


async def _once(
    resources: Resources, caller: Identity, asked: BulkRequest, narrowed: ExecutionFilter, key: str
) -> BulkReply:
    """The same under a key. Two of one key at the same time command the same executions, which take it once."""
    table, digest = BulkRequests(resources.database), _digest(caller, asked)
    known, refused = await table.find(caller.tenant, key, digest), 0
    if known is None:
        chosen, refused = await _chosen(resources, caller, narrowed, asked.limit)
        known = await table.claim(caller.tenant, key, digest, [row.id for row in chosen])
    if known.results is None:
        results = await _command_all(resources, caller, asked, known.execution_ids, key)
        await table.complete(caller.tenant, key, [result.model_dump(mode="json") for result in results])
    else:
        results = [BulkResult.model_validate(result) for result in known.results]
    return _reply(asked, len(known.execution_ids), refused, results=results)


def _narrowed(caller: Identity, asked: BulkRequest) -> ExecutionFilter:
    """The filter, narrowed to states in which the action makes sense."""
    given = asked.filter.as_filter()
    takes = _TAKES[asked.action]
    statuses = [status for status in given.statuses or takes if status in takes]
    return replace(given, statuses=statuses, sight=sight_of(caller))


async def _count(resources: Resources, caller: Identity, narrowed: ExecutionFilter) -> int:
    return await ExecutionLists(resources.database).count(caller.tenant, narrowed, most=MAX_COUNTED)


async def _chosen(
    resources: Resources, caller: Identity, narrowed: ExecutionFilter, limit: int
) -> tuple[list[Execution], int]:
    """The oldest executions that the caller may control, and how many before them it may not."""
    lists, roles = ExecutionLists(resources.database), dict[UUID, Role | None]()
    chosen: list[Execution] = []
    refused, after = 0, None
    while len(chosen) < limit and len(chosen) + refused < MAX_LOOKED_AT:
        page = await lists.page(caller.tenant, narrowed, order="created", after=after, limit=limit)
        for row in page.items:
            if row.workflow_id not in roles:
                roles[row.workflow_id] = await role_on(resources, caller, row.workflow_id)
            role = roles[row.workflow_id]
            if role is None or not role.covers(Role.EXECUTOR):
                refused += 1
            elif len(chosen) < limit:
                chosen.append(row)
        if page.next is None:
            break
        after = Place(page.items[-1].id)
    return chosen, refused


async def _command_all(
    resources: Resources, caller: Identity, asked: BulkRequest, ids: Sequence[UUID], key: str | None
) -> list[BulkResult]:
    """Every execution on its own, `AT_ONCE` at a time; the results in the order of `ids`."""
    places = asyncio.Semaphore(AT_ONCE)

    async def command(execution_id: UUID) -> BulkResult:
        async with places:
            try:
                return await _command(resources, caller, asked, execution_id, key)
            except StructForgeError as error:
                return BulkResult(id=execution_id, done=False, code=error.code, detail=error.message)

    return list(await asyncio.gather(*(command(execution_id) for execution_id in ids)))


async def _command(
    resources: Resources, caller: Identity, asked: BulkRequest, execution_id: UUID, key: str | None
) -> BulkResult:
    tenant = caller.tenant
    if asked.action == "rerun":
        # The key of a part is the request's own, so that a part which was started is not started again.
        part = None if key is None else hashlib.sha256(f"bulk:{key}:{execution_id}".encode()).hexdigest()
        wanted = Order(key=part, asked=[execution_id, asked.from_node], by=person_of(caller).id)
        await vouch_for_rerun(resources, caller, execution_id)
        created = await rerunning.rerun(resources, tenant, execution_id, asked.from_node, wanted)
        return BulkResult(id=execution_id, done=True, started=created.execution.id)
    if asked.action == "retry":
        return await _retry(resources, caller, execution_id)
    if asked.action == "cancel":
        await commands.cancel(resources, tenant, execution_id)
    else:
        await commands.set_paused(resources, tenant, execution_id, paused=asked.action == "pause")
    await journal.note(resources, caller, execution_id, asked.action)
    return BulkResult(id=execution_id, done=True)


async def _retry(resources: Resources, caller: Identity, execution_id: UUID) -> BulkResult:
    """Raises: Conflict if no node waits for an attempt."""
    await Executions(resources.database).get(caller.tenant, execution_id)
    rows = await NodeExecutions(resources.database).list(
        caller.tenant, execution_id, status="retrying", limit=MAX_NODES
    )
    tried = 0
    for row in rows:
        try:
            await commands.retry_node(resources, caller.tenant, execution_id, row.node_path, row.iteration)
        except Conflict:
            continue  # it went on by itself meanwhile
        await journal.note(resources, caller, execution_id, "retry", row.node_path, row.iteration)
        tried += 1
    if not tried:
        raise Conflict("no node waits for an attempt", code="NODE_NOT_WAITING")
    return BulkResult(id=execution_id, done=True, nodes=tried)


def _digest(caller: Identity, asked: BulkRequest) -> bytes:
    whole = [person_of(caller).id, asked.model_dump(mode="json")]
    return hashlib.sha256(orjson.dumps(whole, option=orjson.OPT_SORT_KEYS)).digest()


def _reply(
    asked: BulkRequest,
    matched: int,
    refused: int,
    *,
    first: Sequence[Execution] = (),
    results: Sequence[BulkResult] = (),
) -> BulkReply:
    return BulkReply(
        action=asked.action,
        dry_run=asked.dry_run,
        matched=matched,
        matched_at_most=MAX_COUNTED,
        refused=refused,
        first=[reply_of(row) for row in first],
        results=list(results),
    )
