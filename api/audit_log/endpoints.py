"""The route of the audit log."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query

from api.access import Caller
from api.audit_log.schemas import AuditEntryReply
from api.cursors import Cursor, Limit, read_id, write_cursor
from api.permissions import Permission, requires
from api.resources import Held
from api.schemas import Page
from api.times import Time
from engine.errors import AccessDenied
from models.jsonb import plain_text
from models.repositories.audit import NOBODYS_TENANT, AuditFilter, AuditLog
from models.repositories.tenants import FIRST_TENANT

router = APIRouter(tags=["audit"])

Text = Annotated[str | None, Query(max_length=300)]


@router.get("/audit")
@requires(Permission.AUDIT_READ)
async def list_audit_entries(
    resources: Held,
    caller: Caller,
    action: Annotated[
        str | None, Query(max_length=300, description="Such as workflow.publish, or workflow.* for all of a kind")
    ] = None,
    target_kind: Text = None,
    target_id: Text = None,
    user_id: UUID | None = None,
    key_id: UUID | None = None,
    outcome: Literal["done", "refused"] | None = None,
    request_id: Text = None,
    since: Time | None = None,
    until: Time | None = None,
    unknown_callers: Annotated[
        bool, Query(description="The tries of callers whom nobody knows instead; for the first tenant alone")
    ] = False,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[AuditEntryReply]:
    """Changes and refused tries, newest first. Administrators of the tenant may ask."""
    if unknown_callers and caller.tenant.uuid != FIRST_TENANT:
        raise AccessDenied("only the installation's first tenant sees the tries of unknown callers")
    narrowed = AuditFilter(
        action=plain_text(action),
        target_kind=plain_text(target_kind),
        target_id=plain_text(target_id),
        user_id=user_id,
        key_id=key_id,
        outcome=outcome,
        request_id=plain_text(request_id),
        since=since,
        until=until,
    )
    tenant = NOBODYS_TENANT if unknown_callers else caller.tenant
    page = await AuditLog(resources.database).list(tenant, narrowed, before=read_id(cursor), limit=limit)
    items = [AuditEntryReply.model_validate(row, from_attributes=True) for row in page.items]
    return Page[AuditEntryReply](items=items, next=write_cursor(page.next))
