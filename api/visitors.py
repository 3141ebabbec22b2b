"""Visitors by a sharing link: nobody in particular, in one role on one workflow."""

from __future__ import annotations

from api.auth import Identity, Share
from api.permissions import Permission
from api.resources import Resources
from engine.errors import Unauthenticated
from models.repositories.shares import Shares
from models.roles import Role
from models.tables import ShareLink
from models.tenancy import mint_tenant

SCOPES: dict[Role, tuple[Permission, ...]] = {
    Role.VIEWER: (Permission.WORKFLOW_READ, Permission.EXECUTION_READ),
    Role.EXECUTOR: (
        Permission.WORKFLOW_READ,
        Permission.EXECUTION_READ,
        Permission.WORKFLOW_RUN,
        Permission.EXECUTION_CONTROL,
    ),
}


async def visitor_of(resources: Resources, token: str) -> Identity:
    """Who shows the token of a link; its use is counted. Raises: Unauthenticated; SystemFault."""
    return _visitor(await Shares(resources.database).use(token))


async def still_visitor_of(resources: Resources, token: str) -> Identity:
    """The same for a visit that has begun, not counted again. Raises: Unauthenticated; SystemFault."""
    return _visitor(await Shares(resources.database).find(token))


def _visitor(link: ShareLink | None) -> Identity:
    if link is None:
        raise Unauthenticated("the sharing link is not known, has expired or was revoked")
    role = Role(link.role)
    return Identity(
        tenant=mint_tenant(link.tenant_id),
        key_id=link.id,
        key_name=f"share:{link.id}",
        scopes=SCOPES[role],
        share=Share(link.workflow_id, role),
    )
