"""What the grant routes do."""

from __future__ import annotations

from uuid import UUID

from api.audit import audit
from api.auth import Identity
from api.grants.schemas import GrantReply, GrantsReply
from api.people import person_of
from api.resources import Resources
from engine.errors import Issue, ValidationFailed
from models.repositories.grants import ALL_MEMBERS, Granted, Grants
from models.repositories.workflows import Workflows
from models.roles import Role

EVERYBODY = "all"


async def list_grants(resources: Resources, caller: Identity, workflow_id: UUID) -> GrantsReply:
    """The grants of a workflow. Raises: NotFound."""
    await Workflows(resources.database).get(caller.tenant, workflow_id)
    held = await Grants(resources.database).list(caller.tenant, workflow_id)
    return GrantsReply(items=[_reply(one) for one in held])


async def put_grant(resources: Resources, caller: Identity, workflow_id: UUID, member: str, role: Role) -> GrantReply:
    """Give a role in place of the one before.

    Raises: NotFound if the workflow or the member is not there; Conflict (LAST_OWNER); ValidationFailed.
    """
    member_id = _member_id(member)
    if member_id == ALL_MEMBERS and role is Role.OWNER:
        issue = Issue("INVALID_VALUE", "body.role", "all members cannot be owners", "give them editor, or name people")
        raise ValidationFailed([issue], "the request is not valid")
    grants, by = Grants(resources.database), person_of(caller).id
    granted, before = await grants.put(caller.tenant, workflow_id, member_id, role, by=by)
    facts = {"member": member, "role": role.value, "before": before}
    await audit(resources, caller, "grant.put", "workflow", workflow_id, **facts)
    return _reply(granted)


async def remove_grant(resources: Resources, caller: Identity, workflow_id: UUID, member: str) -> None:
    """Raises: NotFound; Conflict (LAST_OWNER)."""
    role = await Grants(resources.database).remove(caller.tenant, workflow_id, _member_id(member))
    await audit(resources, caller, "grant.remove", "workflow", workflow_id, member=member, before=role.value)


async def transfer(resources: Resources, caller: Identity, workflow_id: UUID, user_id: UUID) -> GrantsReply:
    """Make a person the one owner; those who were become editors. Raises: NotFound."""
    grants = Grants(resources.database)
    former = await grants.transfer(caller.tenant, workflow_id, user_id, by=person_of(caller).id)
    facts = {"to": str(user_id), "from": [str(one) for one in former]}
    await audit(resources, caller, "workflow.transfer", "workflow", workflow_id, **facts)
    return GrantsReply(items=[_reply(one) for one in await grants.list(caller.tenant, workflow_id)])


def _member_id(text: str) -> UUID:
    if text == EVERYBODY:
        return ALL_MEMBERS
    try:
        found = UUID(text)
    except ValueError:
        found = ALL_MEMBERS
    if found == ALL_MEMBERS:
        issue = Issue("INVALID_VALUE", "path.member", "is neither the id of a person nor `all`")
        raise ValidationFailed([issue], "the request is not valid")
    return found


def _reply(one: Granted) -> GrantReply:
    return GrantReply(
        member=EVERYBODY if one.member_id == ALL_MEMBERS else str(one.member_id),
        email=one.email,
        display_name=one.display_name,
        role=one.role,
        granted_by=one.granted_by,
        created_at=one.created_at,
    )
