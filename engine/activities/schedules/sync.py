"""The sync: makes Temporal's Schedules equal the rows.

It looks at one workflow when PostgreSQL says that something about it has changed, and at all of them in each sweep,
which finds what a lost notification, a restart or a hand at Temporal has left different. Repeating it changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from temporalio.client import (
    Client,
    ScheduleAlreadyRunningError,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from engine.activities.clients.objects import Values
from engine.activities.launching import RPC_TIMEOUT, TemporalLink, translated_rpc_faults
from engine.activities.schedules.mapping import (
    PREFIX,
    Mark,
    digest_of,
    read_mark,
    runs_left,
    schedule_id,
    temporal_schedule,
)
from engine.errors import StructForgeError, SystemFault
from engine.nodes.trigger.timer import TimerParams
from models.ids import id_of_name
from models.repositories.schedules import Desired, Rule, Schedules, Timers
from models.session import Database
from models.tenancy import mint_tenant

Workflow = tuple[UUID, UUID]  # tenant and workflow
_PAGE = 500
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Counts:
    """What a pass changed in Temporal."""

    created: int = 0
    updated: int = 0
    deleted: int = 0

    @property
    def changes(self) -> int:
        return self.created + self.updated + self.deleted


@dataclass(slots=True)
class ScheduleSync:
    """Works under one leader's epoch; a schedule that a later leader has written is left alone."""

    database: Database
    temporal: TemporalLink
    values: Values
    task_queue: str
    epoch: int = 0
    drifts: int = 0  # differences that sweeps have found and repaired
    _rows: Schedules = field(init=False)

    def __post_init__(self) -> None:
        self._rows = Schedules(self.database)

    async def workflow(self, workflow: Workflow) -> Counts:
        """Make one workflow's schedules equal. Raises: SystemFault if PostgreSQL or Temporal is away."""
        client = await self.temporal.client()
        for timers in await self._rows.timers(workflow):
            await self._keep_timers(timers)
        counts = Counts()
        for desired in await self._rows.desired(workflow):
            await self._ensure_alone(client, desired, counts)
        # What this workflow no longer has cannot be seen from its rows, so those that are left are looked for.
        await self._remove_strays(client, counts, workflow)
        return counts

    async def sweep(self) -> Counts:
        """Make all of them equal. Raises: SystemFault."""
        client = await self.temporal.client()
        await self._keep_all_timers()
        counts = Counts()
        known = await self._marks(client)
        # After the list, never before: what a later leader has made for a new row meanwhile is not to be deleted.
        wanted = {schedule_id(desired.schedule): desired for desired in await self._rows.desired()}
        for identifier, desired in wanted.items():
            mark, paused = known.get(identifier, (None, None))
            row = desired.schedule
            same = mark is not None and mark.digest == digest_of(desired, self.task_queue)
            if not same or paused != (row.paused or not row.enabled):
                await self._ensure_alone(client, desired, counts)
        await self._delete(client, [identifier for identifier in known if identifier not in wanted], counts)
        self.drifts += counts.changes
        return counts

    # ---- timer nodes

    async def _keep_all_timers(self) -> None:
        after: Workflow | None = None
        while True:
            page = await self._rows.timers(after=after, limit=_PAGE)
            for timers in page:
                if timers.nodes:
                    await self._keep_timers(timers)
            if len(page) < _PAGE:
                return
            after = (page[-1].tenant_id, page[-1].workflow_id)

    async def _keep_timers(self, timers: Timers) -> None:
        tenant = mint_tenant(timers.tenant_id)
        with _others_unharmed(f"the timers of workflow {timers.workflow_id}"):
            rules: list[tuple[UUID, Rule]] = []
            for node in timers.nodes:
                rule = await self._rule_of(timers, node)
                if rule is not None:
                    rules.append((id_of_name(f"{timers.workflow_id} {node['id']}"), rule))
            await self._rows.keep_timers(tenant, timers.workflow_id, rules)

    async def _rule_of(self, timers: Timers, node: dict[str, Any]) -> Rule | None:
        try:
            params = TimerParams.model_validate(node.get("params") or {})
        except ValidationError as error:  # an older version's document that today's rules refuse
            _log.warning("timer %s of workflow %s is not valid: %s", node.get("id"), timers.workflow_id, error)
            return None
        tenant = mint_tenant(timers.tenant_id)
        return Rule(
            workflow_id=timers.workflow_id,
            name=f"timer {node['id']}",
            source="timer",
            trigger_node=node["id"],
            cron=params.cron,
            every_s=None if params.every is None else params.every.total_seconds(),
            at=params.moment,
            timezone=params.timezone,
            enabled=params.enabled,
            input=await self.values.store(tenant, params.input) if params.input else None,
        )

    # ---- Temporal

    async def _marks(self, client: Client) -> dict[str, tuple[Mark | None, bool]]:
        """Temporal's schedules that are ours, by id: their marks, and whether they are paused."""
        found: dict[str, tuple[Mark | None, bool]] = {}
        with translated_rpc_faults():
            async for listed in await client.list_schedules(rpc_timeout=RPC_TIMEOUT):
                if listed.id.startswith(PREFIX) and listed.schedule is not None:
                    state = listed.schedule.state
                    found[listed.id] = (read_mark(state.note), state.paused)
        return found

    async def _ensure_alone(self, client: Client, desired: Desired, counts: Counts) -> None:
        with _others_unharmed(f"schedule {desired.schedule.id} of workflow {desired.schedule.workflow_id}"):
            await self._ensure(client, desired, counts)

    async def _ensure(self, client: Client, desired: Desired, counts: Counts) -> None:
        row = desired.schedule
        handle = client.get_schedule_handle(schedule_id(row))
        digest, changed = digest_of(desired, self.task_queue), list[bool]()

        async def updated(current: ScheduleUpdateInput) -> ScheduleUpdate | None:
            state, info = current.description.schedule.state, current.description.info
            mark = read_mark(state.note)
            if mark is not None and mark.epoch > self.epoch:
                raise SystemFault("a later leader keeps the schedules by now")
            same = mark is not None and mark.digest == digest
            if same and state.paused == (row.paused or not row.enabled):
                return None
            changed.append(True)
            left = runs_left(row, mark, state.remaining_actions, info.num_actions)
            return ScheduleUpdate(self._temporal(desired, digest, left))

        with translated_rpc_faults():
            try:
                await handle.update(updated, rpc_timeout=RPC_TIMEOUT)
                counts.updated += len(changed) > 0
                return
            except RPCError as error:
                if error.status != RPCStatusCode.NOT_FOUND:
                    raise
            made = self._temporal(desired, digest, row.max_runs)
            try:
                await client.create_schedule(schedule_id(row), made, rpc_timeout=RPC_TIMEOUT)
                counts.created += 1
            except ScheduleAlreadyRunningError:
                _log.info("schedule %s was made by another process meanwhile", row.id)

    def _temporal(self, desired: Desired, digest: str, left: int | None) -> Any:
        mark = Mark(digest, desired.schedule.max_runs or 0, self.epoch)
        return temporal_schedule(desired, self.task_queue, mark, remaining=left)

    async def _remove_strays(self, client: Client, counts: Counts, workflow: Workflow) -> None:
        known = await self._marks(client)
        wanted = {schedule_id(desired.schedule) for desired in await self._rows.desired()}  # after the list, as above
        mine = f"{PREFIX}{workflow[0]}:"
        await self._delete(client, [one for one in known if one.startswith(mine) and one not in wanted], counts)

    async def _delete(self, client: Client, identifiers: Iterable[str], counts: Counts) -> None:
        for identifier in identifiers:
            with translated_rpc_faults():
                try:
                    await client.get_schedule_handle(identifier).delete(rpc_timeout=RPC_TIMEOUT)
                    counts.deleted += 1
                except RPCError as error:
                    if error.status != RPCStatusCode.NOT_FOUND:
                        raise


@contextmanager
def _others_unharmed(what: str) -> Generator[None]:
    """Log whatever is wrong with one row or document, so that it does not keep all the others from being synced.

    Raises: SystemFault or TimeoutError if PostgreSQL or Temporal is away, for that is nothing of its own.
    """
    try:
        yield
    except (SystemFault, TimeoutError):
        raise
    except Exception as error:
        known = isinstance(error, StructForgeError | RPCError)
        _log.warning("%s: not kept equal in Temporal: %s", what, error, exc_info=None if known else error)
