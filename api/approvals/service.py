"""Approvals: who may decide, what they fill in, and their word on its way to the execution."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from api.approvals.schemas import ApprovalReply, DecisionReply, DecisionRequest
from api.audit import audit
from api.auth import Identity
from api.executions.commands import send
from api.people import Person, person_of
from api.permissions import Permission, check_granted, grants
from api.resources import Resources
from api.workflow_access import role_on, sees_everything, sight_of
from engine.contracts import APPROVE, Command
from engine.dag.control.approval import APPROVED, ROLE
from engine.dag.inputs import check_form
from engine.errors import AccessDenied, Conflict, Issue, NotFound, ValidationFailed
from models.jsonb import plain_text
from models.repositories.approvals import Approvals, Asked
from models.repositories.executions import Executions
from models.repositories.records import Page
from models.roles import Role
from models.tables import Approval
from models.tenancy import TenantId

SEEN_WITHIN_S = 2.0  # the row follows the word; after that it is shown as it is
_AGAIN_AFTER_S = 0.02
MOST_COUNTED = 1000


async def list_approvals(
    resources: Resources,
    caller: Identity,
    *,
    statuses: Sequence[str] | None,
    execution_id: UUID | None,
    before: UUID | None,
    limit: int,
) -> Page[Approval]:
    """What the caller may see, and what asks it by name, newest first."""
    names = person_of(caller).names if caller.share is None else ()
    return await Approvals(resources.database).list(
        caller.tenant,
        statuses=statuses,
        execution_id=execution_id,
        sight=sight_of(caller),
        names=names,
        before=before,
        limit=limit,
    )


async def list_waiting(resources: Resources, caller: Identity, *, before: UUID | None, limit: int) -> Page[Approval]:
    """What waits for the caller's own word, newest first."""
    asked = _asked(caller)
    if asked is None:
        return Page[Approval]([])
    return await Approvals(resources.database).waiting(caller.tenant, asked, before=before, limit=limit)


async def count_waiting(resources: Resources, caller: Identity) -> int:
    """How many do, up to `MOST_COUNTED`."""
    asked = _asked(caller)
    if asked is None:
        return 0
    return await Approvals(resources.database).count_waiting(caller.tenant, asked, most=MOST_COUNTED)


def _asked(caller: Identity) -> Asked | None:
    """The caller as approvals ask for it, by the rules of `decide`; nobody for a sharing link."""
    if caller.share is not None:
        return None
    person, may_run = person_of(caller), grants(caller.scopes, Permission.WORKFLOW_RUN)
    if sees_everything(caller):
        return Asked(person.id, sorted(person.names | {ROLE + role for role in person.roles}), may_run)
    return Asked(person.id, sorted(person.names), may_run, caller.user_id)


async def get(resources: Resources, tenant: TenantId, approval_id: UUID) -> Approval:
    """Raises: NotFound."""
    return await Approvals(resources.database).get(tenant, approval_id)


async def of_node(
    resources: Resources, tenant: TenantId, execution_id: UUID, path: str, iteration: Sequence[int]
) -> Approval:
    """What a node execution asked last. Raises: NotFound; Conflict (NODE_NOT_WAITING) if it has never asked."""
    await Executions(resources.database).get(tenant, execution_id)
    try:
        return await Approvals(resources.database).newest(tenant, execution_id, plain_text(path) or "", iteration)
    except NotFound:
        raise Conflict(f"node {path[:80]} waits for nobody", code="NODE_NOT_WAITING") from None


async def decide(resources: Resources, caller: Identity, row: Approval, given: DecisionRequest) -> Approval:
    """Pass a person's word on; the approval as it stands then. Repeating it changes nothing.

    Raises: AccessDenied; ValidationFailed if the form does not fit; Conflict (APPROVAL_CLOSED, ALREADY_DECIDED);
    SystemFault.
    """
    person = await _person_on(resources, caller, row)
    _check_may_decide(caller, person, row)
    if _has_said(row, person, given):
        return row
    _check_open(row)
    form = _checked_form(row, given)
    value = None
    if form is not None:
        value = await resources.values.store(caller.tenant, form, resources.settings.limits.inline_output_bytes)
    word = Command(
        APPROVE,
        row.node_path,
        list(row.iteration),
        decision=given.decision,
        by=person.id,
        form=value,
        comment=plain_text(given.comment) or "",
        approval=str(row.id),
    )
    if not await _send(resources, row, word):
        await _explain(resources, caller.tenant, row, person, given)
    facts = {"decision": given.decision, "execution": str(row.execution_id), "node": row.node_path}
    await audit(resources, caller, "approval.decide", "approval", row.id, **facts)
    return await _seen(resources, caller.tenant, row, person)


async def _person_on(resources: Resources, caller: Identity, row: Approval) -> Person:
    """The caller, in the roles that it has on the approval's workflow. Raises: AccessDenied for a sharing link."""
    if caller.share is not None:
        raise AccessDenied("an approval is a person's word: sign in")
    person = person_of(caller)
    if sees_everything(caller):
        return person
    held = await role_on(resources, caller, row.workflow_id)
    return replace(person, roles=frozenset() if held is None else frozenset(one for one in Role if held.covers(one)))


def _check_may_decide(caller: Identity, person: Person, row: Approval) -> None:
    if not row.approvers:
        check_granted((Permission.WORKFLOW_RUN,), caller.scopes)
    elif not person.is_among(row.approvers):
        raise AccessDenied("you are none of the approvers", details={"approvers": row.approvers})
    if row.started_by == person.id and not row.allow_self:
        raise AccessDenied("you started this execution, so somebody else must decide", details={"allow_self": False})


def _has_said(row: Approval, person: Person, given: DecisionRequest) -> bool:
    """Whether the very word is there. Raises: Conflict (ALREADY_DECIDED) if the person has said otherwise."""
    said = next((one["decision"] for one in row.decisions if one["by"] == person.id), None)
    if said is not None and said != given.decision:
        raise Conflict(f"you have {said} it before", code="ALREADY_DECIDED")
    return said is not None


def _check_open(row: Approval) -> None:
    if row.status != "open":
        raise Conflict(f"the approval is closed: {row.status}", code="APPROVAL_CLOSED", details={"status": row.status})


def _checked_form(row: Approval, given: DecisionRequest) -> Any:
    """Raises: ValidationFailed. Who rejects need not fill the form in."""
    if row.form is None:
        if given.form is None:
            return None
        issue = Issue("UNKNOWN_INPUT", "form", "this approval asks for no form", "leave it out")
        raise ValidationFailed([issue], "the form is not valid")
    if given.decision == APPROVED or given.form is not None:
        return check_form(row.form, given.form)
    return None


async def _send(resources: Resources, row: Approval, word: Command) -> bool:
    client = await resources.temporal.client()
    try:
        return await send(client.get_workflow_handle(row.temporal_id), word)
    except Conflict:
        return False  # the Temporal workflow that waited has ended


async def _explain(
    resources: Resources, tenant: TenantId, row: Approval, person: Person, given: DecisionRequest
) -> None:
    """Raises: Conflict that says why a word was refused, unless it had been taken before."""
    now = await Approvals(resources.database).get(tenant, row.id)
    if not _has_said(now, person, given):
        raise Conflict("the approval does not wait any more", code="APPROVAL_CLOSED", details={"status": now.status})


async def _seen(resources: Resources, tenant: TenantId, row: Approval, person: Person) -> Approval:
    """The row once it shows the person's word, which the execution writes beside its own work."""
    table = Approvals(resources.database)
    for _ in range(int(SEEN_WITHIN_S / _AGAIN_AFTER_S)):
        row = await table.get(tenant, row.id)
        if row.status != "open" or any(one["by"] == person.id for one in row.decisions):
            break
        await asyncio.sleep(_AGAIN_AFTER_S)
    return row


def reply_of(row: Approval) -> ApprovalReply:
    """An approval without the forms that people filled in."""
    return _reply(row, [None] * len(row.decisions))


async def detail_of(resources: Resources, tenant: TenantId, row: Approval) -> ApprovalReply:
    """An approval with the forms. Raises: SystemFault if the object store does not answer."""
    given = [one["form"] for one in row.decisions]
    return _reply(row, [None if one is None else await resources.values.load(tenant, one) for one in given])


def _reply(row: Approval, forms: list[Any]) -> ApprovalReply:
    said = [
        DecisionReply(
            by=one["by"],
            decision=one["decision"],
            form=form,
            comment=one["comment"],
            at=datetime.fromtimestamp(one["at"], UTC),
        )
        for one, form in zip(row.decisions, forms, strict=True)
    ]
    members = {name: getattr(row, name) for name in ApprovalReply.model_fields if name not in ("path", "decisions")}
    return ApprovalReply(**members, path=row.node_path, decisions=said)
