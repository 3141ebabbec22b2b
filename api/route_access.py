"""What a route's declaration means for its caller, checked before the endpoint reads anything.

Scopes first, then what people may do in the whole tenant, then the role on the workflow that the path names.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from api.auth import Identity
from api.people import person_of
from api.permissions import ADMIN_ONLY, WORKFLOW_PARAMETERS, Demand, check_granted
from api.resources import Resources
from api.workflow_access import check_role, need_role, need_role_on_execution, role_on, sees_everything
from engine.errors import AccessDenied, Issue, ValidationFailed
from models.repositories.approvals import Approvals
from models.repositories.schedules import Schedules
from models.roles import Role


async def check_route(resources: Resources, caller: Identity, demand: Demand, path: Mapping[str, str]) -> None:
    """Return if the caller may call a route that makes this demand, with these parameters in its path.

    Raises: AccessDenied; NotFound if the caller may not see what the path names; ValidationFailed; SystemFault.
    """
    if not demand.permissions:
        raise AccessDenied("this route declares no permission")
    check_granted(demand.permissions, caller.scopes)
    _check_in_tenant(caller, demand)
    named = [name for name in WORKFLOW_PARAMETERS if name in path]
    if caller.share is not None and (demand.closed_to_links or not (named or demand.open_to_links)):
        raise AccessDenied("a sharing link leads to its workflow and its executions alone")
    if sees_everything(caller):
        return
    for name in named:
        if demand.role is None:
            raise AccessDenied("this route declares no role")
        await _check_role(resources, caller, name, uuid_of(name, path[name]), demand.role)


def _check_in_tenant(caller: Identity, demand: Demand) -> None:
    if demand.in_person and not caller.is_person:
        raise AccessDenied("a person does this who has signed in, no API key")
    if caller.user_id is None or caller.tenant_role == "admin":
        return
    for permission in ADMIN_ONLY.intersection(demand.permissions):
        raise AccessDenied("only administrators of the tenant may do this", details={"permission": permission.value})


async def _check_role(resources: Resources, caller: Identity, name: str, target: UUID, role: Role) -> None:
    if name == "workflow_id":
        await need_role(resources, caller, target, role)
    elif name == "execution_id":
        await need_role_on_execution(resources, caller, target, role)
    elif name == "schedule_id":
        row = await Schedules(resources.database).get(caller.tenant, target)
        check_role(await role_on(resources, caller, row.workflow_id), role, f"schedule {target}")
    else:
        await _check_approval(resources, caller, target, role)


async def _check_approval(resources: Resources, caller: Identity, approval_id: UUID, role: Role) -> None:
    """Who is asked by name needs no role on the workflow to answer."""
    row = await Approvals(resources.database).get(caller.tenant, approval_id)
    asked = {name.strip().lower() for name in row.approvers}
    if caller.share is None and not asked.isdisjoint(person_of(caller).names):
        return
    check_role(await role_on(resources, caller, row.workflow_id), role, f"approval {approval_id}")


def uuid_of(name: str, text: str) -> UUID:
    """The id in a parameter of a path. Raises: ValidationFailed."""
    try:
        return UUID(text)
    except ValueError:
        issue = Issue("INVALID_VALUE", f"path.{name}", "is no UUID")
        raise ValidationFailed([issue], "the request is not valid") from None
