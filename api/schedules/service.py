"""What the routes of schedules do: rows here, and questions and words to Temporal about them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from temporalio.client import ScheduleBackfill, ScheduleDescription, ScheduleHandle, ScheduleOverlapPolicy
from temporalio.service import RPCError, RPCStatusCode

from api.auth import Identity
from api.people import person_of
from api.resources import Resources
from api.schedules.schemas import BackfillRequest, PreviewReply, ScheduleReply, ScheduleRule
from api.vouching import vouch_for_start
from engine.activities.launching import RPC_TIMEOUT, translated_rpc_faults
from engine.activities.schedules.mapping import schedule_id
from engine.errors import Conflict, Issue, ValidationFailed
from models.repositories.schedules import Rule, Schedules
from models.repositories.workflows import Workflows
from models.tables import Schedule
from models.tenancy import TenantId


async def rule_of(resources: Resources, caller: Identity, workflow_id: UUID, body: ScheduleRule) -> Rule:
    """The row's rule. Raises: NotFound; ValidationFailed if the published version has no such trigger."""
    await _check_published(resources, caller, workflow_id, body.trigger)
    limit = resources.settings.limits.inline_output_bytes
    return Rule(
        workflow_id=workflow_id,
        name=body.name,
        trigger_node=body.trigger,
        cron=body.cron,
        every_s=None if body.every is None else body.every.total_seconds(),
        at=body.at,
        timezone=body.timezone,
        jitter_s=body.jitter.total_seconds(),
        overlap=body.overlap,
        catchup_window_s=body.catchup_window.total_seconds(),
        starts_at=body.starts_at,
        ends_at=body.ends_at,
        max_runs=body.max_runs,
        enabled=body.enabled,
        input=await resources.values.store(caller.tenant, body.input, limit) if body.input else None,
        started_by=person_of(caller).id,
    )


async def _check_published(resources: Resources, caller: Identity, workflow_id: UUID, name: str | None) -> None:
    """Raises: NotFound; AccessDenied for what is another person's alone; ValidationFailed for a trigger it lacks."""
    workflow = await Workflows(resources.database).get(caller.tenant, workflow_id)
    if workflow.published_version is None:
        return
    version = await resources.versions.get_number(caller.tenant, workflow_id, workflow.published_version)
    await vouch_for_start(resources, caller, version)
    if name is None:
        return
    known = [node.id for node in version.plan.triggers()]
    if name not in known:
        hint = f"its triggers are: {', '.join(known)}" if known else "it has no triggers: leave it out"
        message = f"the published version has no trigger {name[:80]!r}"
        raise ValidationFailed([Issue("UNKNOWN_TRIGGER", "trigger", message, hint)], "the schedule is not valid")


async def reply_of(resources: Resources, row: Schedule, tenant: TenantId) -> ScheduleReply:
    fields = row.model_dump(exclude={"tenant_id", "trigger_node", "input", "started_by"})
    given = {} if row.input is None else await resources.values.load(tenant, row.input)
    return ScheduleReply(**fields, trigger=row.trigger_node, input=given)


def check_own(row: Schedule) -> None:
    """Raises: Conflict for the row of a timer node."""
    if row.source == "timer":
        message = "this schedule follows a timer node of the published version: change the document"
        raise Conflict(message, code="FOLLOWS_DOCUMENT", details={"node": row.trigger_node})


async def delete(resources: Resources, tenant: TenantId, row: Schedule) -> None:
    check_own(row)
    await Schedules(resources.database).delete(tenant, row.id)


async def preview(resources: Resources, row: Schedule) -> PreviewReply:
    """What Temporal says, which alone knows when it fires. Raises: SystemFault if it is away."""
    described = await _described(resources, row)
    if described is None:
        return PreviewReply(synced=False, paused=row.paused, next=[], runs=0, runs_left=None, skipped=0, missed=0)
    state, info = described.schedule.state, described.info
    return PreviewReply(
        synced=True,
        paused=state.paused,
        next=[] if state.paused else list(info.next_action_times),
        runs=info.num_actions,
        runs_left=state.remaining_actions if state.limited_actions else None,
        skipped=info.num_actions_skipped_overlap,
        missed=info.num_actions_missed_catchup_window,
    )


async def trigger(resources: Resources, row: Schedule) -> None:
    """Fire once now, beside its times. Raises: Conflict if Temporal does not have it."""
    handle = await _handle(resources, row)
    await _told(handle.trigger(overlap=ScheduleOverlapPolicy.ALLOW_ALL, rpc_timeout=RPC_TIMEOUT), row)


async def backfill(resources: Resources, row: Schedule, body: BackfillRequest) -> None:
    """Fire for each time in the span. A start that has been made before is not made again."""
    handle = await _handle(resources, row)
    span = ScheduleBackfill(body.start, body.end, overlap=ScheduleOverlapPolicy[body.overlap.upper()])
    await _told(handle.backfill(span, rpc_timeout=RPC_TIMEOUT), row)


async def _handle(resources: Resources, row: Schedule) -> ScheduleHandle:
    return (await resources.temporal.client()).get_schedule_handle(schedule_id(row))


async def _described(resources: Resources, row: Schedule) -> ScheduleDescription | None:
    handle = await _handle(resources, row)
    with translated_rpc_faults():
        try:
            return await handle.describe(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            return None


async def _told(word: Any, row: Schedule) -> None:
    with translated_rpc_faults():
        try:
            await word
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            message = "Temporal does not have this schedule: is the workflow active, with a published version?"
            raise Conflict(message, code="NOT_SYNCED", details={"schedule": str(row.id)}) from None


def expected_revision(if_match: str | None) -> int | None:
    """The revision that `If-Match` names; None if any will do. Raises: ValidationFailed."""
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().strip('"')
    if not text.isdigit() or len(text) > 9:
        issue = Issue("INVALID_VALUE", 'header["if-match"]', "is no ETag of a schedule", "send the ETag that GET gave")
        raise ValidationFailed([issue], "the request is not valid")
    return int(text)


def etag_of(row: Schedule) -> str:
    return f'"{row.revision}"'
