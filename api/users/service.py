"""Who belongs to a tenant, and as what."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from uuid import UUID

from api.audit import audit
from api.auth import Identity
from api.resources import Resources
from api.users.schemas import InvitationReply, InviteRequest, MemberChange, MemberReply
from engine.errors import AccessDenied
from models.repositories.api_keys import hash_secret
from models.repositories.login_sessions import LoginSessions
from models.repositories.memberships import Member, Memberships
from models.repositories.records import Page
from models.repositories.tenants import FIRST_TENANT
from models.repositories.users import Users
from models.tenancy import TenantId

PREFIX = "sfi_"


async def list_members(resources: Resources, tenant: TenantId, *, before: UUID | None, limit: int) -> Page[Member]:
    """Newest accounts first."""
    return await Memberships(resources.database).list(tenant, before=before, limit=limit)


async def get_member(resources: Resources, tenant: TenantId, user_id: UUID) -> MemberReply:
    """Raises: NotFound."""
    return reply_of(await Memberships(resources.database).get(tenant, user_id))


async def invite(
    resources: Resources, caller: Identity, given: InviteRequest, tenant: TenantId | None = None
) -> InvitationReply:
    """Offer a membership of `tenant`, by default the caller's own; the account is made if there is none.

    Inviting again replaces the token. Raises: AccessDenied; Conflict (ALREADY_A_MEMBER).
    """
    if given.role == "admin":
        need_full_admin(caller)
    where = tenant or caller.tenant
    user, _ = await Users(resources.database).ensure(given.email, given.display_name)
    token = PREFIX + secrets.token_urlsafe(32)
    expires_at = datetime.now(UTC) + timedelta(seconds=resources.settings.auth.invitation_lifetime_s)
    members = Memberships(resources.database)
    await members.invite(where, user.id, given.role, hash_secret(token), expires_at)
    await audit(resources, caller, "user.invite", "user", user.id, email=user.email, role=given.role, tenant=str(where))
    reply = reply_of(await members.get(where, user.id))
    return InvitationReply(**reply.model_dump(), invitation=token)


async def change(resources: Resources, caller: Identity, user_id: UUID, given: MemberChange) -> MemberReply:
    """Raises: AccessDenied; NotFound; Conflict (LAST_ADMIN)."""
    members = Memberships(resources.database)
    found = await members.get(caller.tenant, user_id)
    if given.role is not None and given.role != found.role:
        need_full_admin(caller)
        found = await members.change_role(caller.tenant, user_id, given.role)
        await audit(resources, caller, "user.change_role", "user", user_id, role=given.role)
    if given.disabled is not None and given.disabled != found.disabled:
        await _set_disabled(resources, caller, user_id, given.disabled)
    resources.sign_in.forget()
    return reply_of(await members.get(caller.tenant, user_id))


async def _set_disabled(resources: Resources, caller: Identity, user_id: UUID, disabled: bool) -> None:
    need_installation_admin(caller)
    if user_id == caller.user_id:
        raise AccessDenied("nobody disables the own account")
    await Users(resources.database).set_disabled(user_id, disabled)
    if disabled:
        await LoginSessions(resources.database).end_all(user_id, "disabled")
    await audit(resources, caller, "user.disable" if disabled else "user.enable", "user", user_id)


async def remove(resources: Resources, caller: Identity, user_id: UUID) -> None:
    """End a membership, with the person's keys and logins here. Raises: NotFound; Conflict (LAST_ADMIN)."""
    members = Memberships(resources.database)
    if (await members.get(caller.tenant, user_id)).role == "admin":
        need_full_admin(caller)
    await members.remove(caller.tenant, user_id)
    resources.sign_in.forget()
    await audit(resources, caller, "user.remove", "user", user_id)


def need_full_admin(caller: Identity) -> None:
    """Raises: AccessDenied for whoever may not do everything in the tenant, keys of administrators included."""
    if caller.tenant_role != "admin" or "*" not in caller.scopes:
        raise AccessDenied("only an administrator who may do everything may do this")


def need_installation_admin(caller: Identity) -> None:
    """Administrators of the first tenant administer the installation. Raises: AccessDenied for all others."""
    need_full_admin(caller)
    if caller.tenant.uuid != FIRST_TENANT:
        raise AccessDenied("only administrators of the installation's first tenant may do this")


def reply_of(member: Member) -> MemberReply:
    return MemberReply(**{name: getattr(member, name) for name in MemberReply.model_fields})
