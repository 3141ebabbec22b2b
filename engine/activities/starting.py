"""From the row of an execution to the input of its Temporal workflow, and compiled versions kept in memory."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

from engine.activities.clients.objects import Values
from engine.activities.seeding import seed_of
from engine.contracts import ExecutionInput, ExecutionMeta
from engine.dag.catalogue import NodeCatalogue
from engine.dag.compile import compile_plan
from engine.dag.document import parse_spec
from engine.dag.packing import pack_plan
from engine.dag.plan import Plan
from engine.dag.references import ReferenceParser
from engine.dag.spec import WorkflowSpec
from engine.dag.values import NULL
from engine.errors import Conflict
from models.repositories.executions import Executions
from models.repositories.workflows import Versions as VersionRows
from models.session import Database
from models.tables import Execution, WorkflowVersion
from models.tenancy import TenantId

MAX_DEPTH = 16  # executions above one another, through `workflow` nodes
CACHED_NODES = 200_000
_SMALL_SPEC_NODES = 50  # compiled in the event loop, in about a millisecond


@dataclass(frozen=True, slots=True)
class CompiledVersion:
    """A version ready to run. Shared between executions: nobody may change any part of it."""

    id: UUID
    workflow_id: UUID
    workflow_name: str
    number: int
    spec: WorkflowSpec
    plan: Plan
    packed_plan: str


class Versions:
    """Compiled versions by id. They never change, so a process keeps the last used ones, `capacity_nodes` in all."""

    def __init__(
        self,
        database: Database,
        catalogue: NodeCatalogue,
        parser: ReferenceParser,
        *,
        capacity_nodes: int = CACHED_NODES,
    ) -> None:
        self._rows = VersionRows(database)
        self._catalogue = catalogue
        self._parser = parser
        self._capacity_nodes = capacity_nodes
        self._held_nodes = 0
        self._cache: OrderedDict[tuple[TenantId, UUID], CompiledVersion] = OrderedDict()
        self._numbers: dict[tuple[TenantId, UUID, int], UUID] = {}
        self._loading: dict[tuple[TenantId, UUID, int], asyncio.Task[CompiledVersion]] = {}

    async def get(self, tenant: TenantId, version_id: UUID) -> CompiledVersion:
        """The version with this id. Raises: NotFound, SystemFault; Conflict (VERSION_INVALID)."""
        if (found := self._cached(tenant, version_id)) is not None:
            return found
        return await self._load_once((tenant, version_id, 0), lambda: self._rows.get(tenant, version_id))

    async def get_number(self, tenant: TenantId, workflow_id: UUID, number: int) -> CompiledVersion:
        """Version `number` of a workflow. Raises: NotFound, SystemFault; Conflict (VERSION_INVALID)."""
        known = self._numbers.get((tenant, workflow_id, number))
        if known is not None and (found := self._cached(tenant, known)) is not None:
            return found
        key = (tenant, workflow_id, number)
        return await self._load_once(key, lambda: self._rows.get_number(tenant, workflow_id, number))

    def _cached(self, tenant: TenantId, version_id: UUID) -> CompiledVersion | None:
        key = (tenant, version_id)
        if (found := self._cache.get(key)) is not None:
            self._cache.move_to_end(key)
        return found

    async def _load_once(
        self, key: tuple[TenantId, UUID, int], fetch: Callable[[], Awaitable[WorkflowVersion]]
    ) -> CompiledVersion:
        """Starts that come together compile a version once; one that is cancelled does not take it from the others."""
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.create_task(self._load(key[0], fetch))
            task.add_done_callback(lambda done: (self._loading.pop(key, None), done.cancelled() or done.exception()))
        return await asyncio.shield(task)

    async def _load(self, tenant: TenantId, fetch: Callable[[], Awaitable[WorkflowVersion]]) -> CompiledVersion:
        row = await fetch()
        if not row.valid:
            message = f"version {row.number} was saved with errors: mend them and save again"
            raise Conflict(message, code="VERSION_INVALID")
        if len(row.spec.get("nodes", ())) <= _SMALL_SPEC_NODES:
            compiled = self._compile(row)
        else:
            compiled = await asyncio.to_thread(self._compile, row)
        self._remember(tenant, compiled)
        return compiled

    def _compile(self, row: WorkflowVersion) -> CompiledVersion:
        spec = parse_spec(row.spec)
        plan = compile_plan(spec, self._catalogue, self._parser)
        return CompiledVersion(row.id, row.workflow_id, spec.name, row.number, spec, plan, pack_plan(plan))

    def _remember(self, tenant: TenantId, compiled: CompiledVersion) -> None:
        if (tenant, compiled.id) not in self._cache:
            self._held_nodes += _weight(compiled)
        self._cache[(tenant, compiled.id)] = compiled
        self._numbers[(tenant, compiled.workflow_id, compiled.number)] = compiled.id
        while self._held_nodes > self._capacity_nodes and len(self._cache) > 1:
            (owner, _), dropped = self._cache.popitem(last=False)
            self._numbers.pop((owner, dropped.workflow_id, dropped.number), None)
            self._held_nodes -= _weight(dropped)


async def execution_input(
    database: Database,
    versions: Versions,
    tenant: TenantId,
    execution_id: UUID,
    *,
    values: Values | None = None,
) -> ExecutionInput:
    """The input of the Temporal workflow of an execution that has its row.

    `values` takes kept outputs that are too large for the input; only reruns have any.
    Raises: NotFound; Conflict (TOO_DEEP) past `MAX_DEPTH`; SystemFault.
    """
    execution = await Executions(database).get(tenant, execution_id)
    return await input_of(database, versions, tenant, execution, values=values)


async def input_of(
    database: Database,
    versions: Versions,
    tenant: TenantId,
    execution: Execution,
    *,
    values: Values | None = None,
) -> ExecutionInput:
    """The same as `execution_input`, for a row that is at hand."""
    version = await versions.get(tenant, execution.version_id)
    above = await _above(database, tenant, execution)
    seed: list[Any] = []
    if execution.rerun_from is not None:
        seed = await seed_of(database, tenant, execution, version.plan, values=values)
    return ExecutionInput(
        meta=asdict(
            ExecutionMeta(
                tenant=str(tenant),
                execution_id=str(execution.id),
                workflow_id=str(execution.workflow_id),
                workflow_name=execution.workflow_name,
                version_id=str(execution.version_id),
                trigger=execution.trigger,
                started_at=time.time(),
                depth=len(above),
                started_by=execution.started_by,
                budgets=await _budgets(versions, tenant, above),
            )
        ),
        plan=version.packed_plan if execution.timeout_s is None else _bounded(version.plan, execution.timeout_s),
        input=execution.input or NULL,
        trigger=None if execution.trigger_node is None else version.plan.by_path[execution.trigger_node].index,
        seed=seed,
    )


def _bounded(plan: Plan, longest_s: float) -> str:
    """The packed plan with a timeout of `longest_s` at most."""
    timeout_s = longest_s if plan.timeout_s is None else min(longest_s, plan.timeout_s)
    return pack_plan(replace(plan, timeout_s=timeout_s))


async def _above(database: Database, tenant: TenantId, execution: Execution) -> list[Execution]:
    """The executions above this one, the nearest first. Raises: Conflict past `MAX_DEPTH`."""
    above: list[Execution] = []
    parent = execution.parent_execution_id
    while parent is not None:
        if len(above) == MAX_DEPTH:
            raise Conflict(f"workflows call each other more than {MAX_DEPTH} deep", code="TOO_DEEP")
        above.append(await Executions(database).get(tenant, parent))
        parent = above[-1].parent_execution_id
    return above


async def _budgets(versions: Versions, tenant: TenantId, above: list[Execution]) -> list[list[Any]]:
    """What the executions above may use for AI calls, the calls of this one included."""
    found: list[list[Any]] = []
    for execution in above:
        budget = (await versions.get(tenant, execution.version_id)).spec.settings.budget
        if budget is not None:
            found.append([str(execution.id), budget.model_dump()])
    return found


def _weight(compiled: CompiledVersion) -> int:
    return len(compiled.plan.nodes) + 10
