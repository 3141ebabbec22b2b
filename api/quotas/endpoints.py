"""Routes of quotas: what a tenant, its people and its workflows may use. Without any, nothing is bounded."""

from __future__ import annotations

from fastapi import APIRouter

from api.access import Caller
from api.audit import audit
from api.permissions import Permission, requires
from api.quotas.schemas import (
    KindQuery,
    PeriodQuery,
    PersonQuery,
    QuotaReply,
    QuotaRequest,
    Quotas,
    ScopeQuery,
    Usages,
    WorkflowQuery,
)
from api.quotas.service import reply_of, subject_of, usage_of
from api.resources import Held
from models.repositories.quotas import Quotas as QuotaRows
from models.repositories.workflows import Workflows

router = APIRouter(prefix="/quotas", tags=["quotas"])


@router.get("")
@requires(Permission.QUOTA_READ)
async def list_quotas(resources: Held, caller: Caller) -> Quotas:
    """Every limit of the tenant."""
    return Quotas(items=[reply_of(rule) for rule in await QuotaRows(resources.database).list(caller.tenant)])


@router.get("/usage")
@requires(Permission.QUOTA_READ)
async def get_quota_usage(resources: Held, caller: Caller) -> Usages:
    """What is used of each limit, and when it frees."""
    return Usages(items=[usage_of(usage) for usage in await QuotaRows(resources.database).usage(caller.tenant)])


@router.put("")
@requires(Permission.QUOTA_WRITE)
async def set_quota(body: QuotaRequest, resources: Held, caller: Caller) -> QuotaReply:
    """Make or change a limit; what was begun before goes on and counts."""
    if body.workflow_id is not None:
        await Workflows(resources.database).get(caller.tenant, body.workflow_id)
    subject = subject_of(body.scope, body.person, body.workflow_id)
    rule = await QuotaRows(resources.database).put(caller.tenant, subject, body.kind, body.period or "", body.limit)
    facts = {"quota": body.kind, "period": body.period, "limit": body.limit}
    await audit(resources, caller, "quota.set", "quota", subject, **facts)
    return reply_of(rule)


@router.delete("", status_code=204)
@requires(Permission.QUOTA_WRITE)
async def delete_quota(
    resources: Held,
    caller: Caller,
    kind: KindQuery,
    scope: ScopeQuery = "tenant",
    person: PersonQuery = None,
    workflow_id: WorkflowQuery = None,
    period: PeriodQuery = None,
) -> None:
    """Take a limit away: those who wait because of it start."""
    subject = subject_of(scope, person, workflow_id)
    await QuotaRows(resources.database).delete(caller.tenant, subject, kind, period or "")
    await audit(resources, caller, "quota.delete", "quota", subject, quota=kind, period=period)
