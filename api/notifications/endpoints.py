"""Routes of notifications: a tenant's rules, and the messages that were sent."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response

from api.access import Caller
from api.audit import audit
from api.cursors import Cursor, Limit, read_id, write_cursor
from api.notifications import service
from api.notifications.schemas import NotificationReply, NotificationRuleReply, NotificationRuleRequest
from api.permissions import Permission, requires
from api.resources import Held
from api.schemas import Page
from api.workflow_access import sight_of
from models.repositories.notification_rules import NotificationRules
from models.repositories.notifications import Notifications

router = APIRouter(tags=["notifications"])
Status = Literal["pending", "sending", "sent", "dead"]
Statuses = Annotated[list[Status] | None, Query(description="Only these; repeat it for several")]


@router.post("/notification-rules", status_code=201)
@requires(Permission.NOTIFICATION_MANAGE)
async def create_notification_rule(
    body: NotificationRuleRequest, response: Response, resources: Held, caller: Caller
) -> NotificationRuleReply:
    """Have somebody told of events. 409 if the name is taken, 422 if the template knows no such name."""
    row = await service.create_rule(resources, caller, body)
    response.headers["Location"] = f"/api/v1/notification-rules/{row.id}"
    await audit(resources, caller, "notification_rule.create", "notification_rule", row.id, name=row.name)
    return service.rule_reply(row)


@router.get("/notification-rules")
@requires(Permission.NOTIFICATION_MANAGE)
async def list_notification_rules(
    resources: Held, caller: Caller, cursor: Cursor = None, limit: Limit = 50
) -> Page[NotificationRuleReply]:
    """The tenant's rules, newest first."""
    page = await NotificationRules(resources.database).list(caller.tenant, before=read_id(cursor), limit=limit)
    items = [service.rule_reply(row) for row in page.items]
    return Page[NotificationRuleReply](items=items, next=write_cursor(page.next))


@router.get("/notification-rules/{rule_id}")
@requires(Permission.NOTIFICATION_MANAGE)
async def get_notification_rule(rule_id: UUID, resources: Held, caller: Caller) -> NotificationRuleReply:
    """One rule."""
    return service.rule_reply(await NotificationRules(resources.database).get(caller.tenant, rule_id))


@router.put("/notification-rules/{rule_id}")
@requires(Permission.NOTIFICATION_MANAGE)
async def replace_notification_rule(
    rule_id: UUID, body: NotificationRuleRequest, resources: Held, caller: Caller
) -> NotificationRuleReply:
    """Put another rule in its place; messages that are on their way stay as they are."""
    row = await service.replace_rule(resources, caller, rule_id, body)
    await audit(resources, caller, "notification_rule.replace", "notification_rule", row.id, name=row.name)
    return service.rule_reply(row)


@router.delete("/notification-rules/{rule_id}", status_code=204)
@requires(Permission.NOTIFICATION_MANAGE)
async def delete_notification_rule(rule_id: UUID, resources: Held, caller: Caller) -> None:
    """Remove a rule; what it has sent stays on record."""
    await NotificationRules(resources.database).delete(caller.tenant, rule_id)
    await audit(resources, caller, "notification_rule.delete", "notification_rule", rule_id)


@router.get("/notifications")
@requires(Permission.NOTIFICATION_READ)
async def list_notifications(
    resources: Held,
    caller: Caller,
    status: Statuses = None,
    execution: Annotated[UUID | None, Query(description="Only about this execution")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[NotificationReply]:
    """Messages about workflows that the caller may see, newest first."""
    page = await Notifications(resources.database).list(
        caller.tenant,
        statuses=status,
        execution_id=execution,
        sight=sight_of(caller),
        before=read_id(cursor),
        limit=limit,
    )
    return Page[NotificationReply](items=[service.reply_of(row) for row in page.items], next=write_cursor(page.next))


@router.get("/notifications/{notification_id}")
@requires(Permission.NOTIFICATION_READ)
async def get_notification(notification_id: UUID, resources: Held, caller: Caller) -> NotificationReply:
    """One message."""
    return service.reply_of(await service.seen(resources, caller, notification_id))


@router.post("/notifications/{notification_id}/resend", status_code=202)
@requires(Permission.NOTIFICATION_MANAGE)
async def resend_notification(notification_id: UUID, resources: Held, caller: Caller) -> NotificationReply:
    """Send a message again that was sent or given up, under the same id. 409 while it is on its way."""
    row = await Notifications(resources.database).send_again(caller.tenant, notification_id)
    await audit(resources, caller, "notification.resend", "notification", row.id, round=row.round)
    return service.reply_of(row)
