"""Routes of schedules."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response

from api.access import Caller
from api.cursors import Cursor, Limit, read_id, write_cursor
from api.permissions import Permission, requires
from api.resources import Held
from api.schedules import service
from api.schedules.schemas import BackfillRequest, PreviewReply, ScheduleReply, ScheduleRequest, ScheduleRule
from api.schemas import Page
from api.workflow_access import need_role, sight_of
from models.repositories.schedules import Schedules
from models.roles import Role

router = APIRouter(prefix="/schedules", tags=["schedules"])
IfMatch = Annotated[str | None, Header(description='`"3"`: change only if revision 3 is still the latest')]
OfWorkflow = Annotated[UUID | None, Query(description="Schedules of this workflow alone")]


@router.post("", status_code=201)
@requires(Permission.SCHEDULE_WRITE)
async def create_schedule(body: ScheduleRequest, response: Response, resources: Held, caller: Caller) -> ScheduleReply:
    """Let a workflow start at set times."""
    await need_role(resources, caller, body.workflow_id, Role.EDITOR)
    rule = await service.rule_of(resources, caller, body.workflow_id, body)
    row = await Schedules(resources.database).create(caller.tenant, rule)
    response.headers["Location"] = f"/api/v1/schedules/{row.id}"
    response.headers["ETag"] = service.etag_of(row)
    return await service.reply_of(resources, row, caller.tenant)


@router.get("")
@requires(Permission.SCHEDULE_READ)
async def list_schedules(
    resources: Held, caller: Caller, workflow: OfWorkflow = None, cursor: Cursor = None, limit: Limit = 50
) -> Page[ScheduleReply]:
    """Schedules, newest first; those of timer nodes last."""
    page = await Schedules(resources.database).list(
        caller.tenant, workflow_id=workflow, sight=sight_of(caller), before=read_id(cursor), limit=limit
    )
    items = [await service.reply_of(resources, row, caller.tenant) for row in page.items]
    return Page[ScheduleReply](items=items, next=write_cursor(page.next))


@router.get("/{schedule_id}")
@requires(Permission.SCHEDULE_READ)
async def get_schedule(schedule_id: UUID, response: Response, resources: Held, caller: Caller) -> ScheduleReply:
    """One schedule."""
    row = await Schedules(resources.database).get(caller.tenant, schedule_id)
    response.headers["ETag"] = service.etag_of(row)
    return await service.reply_of(resources, row, caller.tenant)


@router.put("/{schedule_id}")
@requires(Permission.SCHEDULE_WRITE)
async def change_schedule(
    schedule_id: UUID, body: ScheduleRule, response: Response, resources: Held, caller: Caller, if_match: IfMatch = None
) -> ScheduleReply:
    """Replace the rule of a schedule. 409 for one that follows a timer node."""
    rows = Schedules(resources.database)
    row = await rows.get(caller.tenant, schedule_id)
    service.check_own(row)
    rule = await service.rule_of(resources, caller, row.workflow_id, body)
    row = await rows.replace(caller.tenant, schedule_id, rule, expected_revision=service.expected_revision(if_match))
    response.headers["ETag"] = service.etag_of(row)
    return await service.reply_of(resources, row, caller.tenant)


@router.delete("/{schedule_id}", status_code=204)
@requires(Permission.SCHEDULE_WRITE)
async def delete_schedule(schedule_id: UUID, resources: Held, caller: Caller) -> None:
    """Remove a schedule; what it has started goes on."""
    row = await Schedules(resources.database).get(caller.tenant, schedule_id)
    await service.delete(resources, caller.tenant, row)


@router.post("/{schedule_id}/pause")
@requires(Permission.SCHEDULE_WRITE)
async def pause_schedule(schedule_id: UUID, resources: Held, caller: Caller) -> ScheduleReply:
    """Let it fire no more until it is resumed; also for one that follows a timer node."""
    row = await Schedules(resources.database).set_paused(caller.tenant, schedule_id, paused=True)
    return await service.reply_of(resources, row, caller.tenant)


@router.post("/{schedule_id}/resume")
@requires(Permission.SCHEDULE_WRITE)
async def resume_schedule(schedule_id: UUID, resources: Held, caller: Caller) -> ScheduleReply:
    """Let a paused schedule fire again."""
    row = await Schedules(resources.database).set_paused(caller.tenant, schedule_id, paused=False)
    return await service.reply_of(resources, row, caller.tenant)


@router.post("/{schedule_id}/trigger", status_code=202)
@requires(Permission.WORKFLOW_RUN)
async def trigger_schedule(schedule_id: UUID, resources: Held, caller: Caller) -> None:
    """Fire once now. 409 if Temporal does not have it (yet)."""
    await service.trigger(resources, await Schedules(resources.database).get(caller.tenant, schedule_id))


@router.post("/{schedule_id}/backfill", status_code=202)
@requires(Permission.WORKFLOW_RUN)
async def backfill_schedule(schedule_id: UUID, body: BackfillRequest, resources: Held, caller: Caller) -> None:
    """Fire for every time that was due in a span; each time starts one execution, however often it is asked for."""
    row = await Schedules(resources.database).get(caller.tenant, schedule_id)
    await service.backfill(resources, row, body)


@router.get("/{schedule_id}/preview")
@requires(Permission.SCHEDULE_READ)
async def preview_schedule(schedule_id: UUID, resources: Held, caller: Caller) -> PreviewReply:
    """When it fires next, and what it has done, out of Temporal."""
    return await service.preview(resources, await Schedules(resources.database).get(caller.tenant, schedule_id))
