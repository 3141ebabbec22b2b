"""Who may do what on a workflow.

Tenant administrators are owners of everything. A key that belongs to no person acts by its scopes, on all of a tenant.
A person, and each key of hers, has the role that grants give her; a visitor has that of the sharing link.
"""

from __future__ import annotations

from uuid import UUID

from api.auth import Identity
from api.resources import Resources
from engine.errors import AccessDenied, NotFound
from models.repositories.executions import Executions
from models.repositories.grants import EVERYTHING, Grants, Sight
from models.roles import Role


async def need_role(resources: Resources, caller: Identity, workflow_id: UUID, role: Role | str) -> None:
    """Return if the caller has this role on the workflow, or a greater one.

    Whether there is such a workflow is looked up only for callers who need a grant.
    Raises: NotFound if the caller may not even see the workflow; AccessDenied if the role is too small.
    """
    check_role(await role_on(resources, caller, workflow_id), Role(role), f"workflow {workflow_id}")


async def role_on(resources: Resources, caller: Identity, workflow_id: UUID) -> Role | None:
    """The caller's role on a workflow; None if it may not see it."""
    if sees_everything(caller):
        return Role.OWNER
    if caller.share is not None:
        return caller.share.role if caller.share.workflow_id == workflow_id else None
    assert caller.user_id is not None
    return await Grants(resources.database).role(caller.tenant, workflow_id, caller.user_id)


async def need_role_on_execution(resources: Resources, caller: Identity, execution_id: UUID, role: Role | str) -> None:
    """The same for the workflow of an execution. Raises: NotFound; AccessDenied."""
    if not sees_everything(caller):
        held = await _role_on_execution(resources, caller, execution_id)
        check_role(held, Role(role), f"execution {execution_id}")


async def _role_on_execution(resources: Resources, caller: Identity, execution_id: UUID) -> Role | None:
    if caller.share is not None:
        execution = await Executions(resources.database).get(caller.tenant, execution_id)
        return caller.share.role if execution.workflow_id == caller.share.workflow_id else None
    assert caller.user_id is not None
    found = await Grants(resources.database).role_on_execution(caller.tenant, execution_id, caller.user_id)
    return None if found is None else found[1]


def check_role(held: Role | None, wanted: Role, target: str) -> None:
    """Raises: NotFound without any role, as if there were no such thing; AccessDenied with too small a one."""
    if held is None:
        raise NotFound(f"no {target}")
    if not held.covers(wanted):
        reason = f"this needs the role {wanted} on the workflow, and yours is {held}"
        raise AccessDenied(reason, details={"role": held.value, "needed": wanted.value})


def sees_everything(caller: Identity) -> bool:
    """Whether the caller is bound by no grants: a tenant administrator, or a key of no person."""
    return caller.share is None and (caller.user_id is None or caller.tenant_role == "admin")


def sight_of(caller: Identity) -> Sight:
    """What lists show to the caller; hand it to the repositories that list."""
    if sees_everything(caller):
        return EVERYTHING
    if caller.share is not None:
        return Sight(workflow=caller.share.workflow_id)
    return Sight(member=caller.user_id)


def owner_of(caller: Identity) -> str:
    """What `workflow.owner` is for workflows that the caller makes: the person's id, or nothing for a key of no person.

    PostgreSQL makes the grant by it: to the person as owner, or to all members as editors.
    """
    return "" if caller.user_id is None else str(caller.user_id)
