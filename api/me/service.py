"""What callers learn about themselves, and what people change about themselves."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from api.audit import audit
from api.auth import Identity
from api.authentication.passwords import check_password
from api.me.schemas import DeactivateRequest, EmailRequest, MeReply, PasswordRequest, SessionReply
from api.resources import Resources
from api.sign_in.schemas import PersonReply, TenantReply
from api.sign_in.service import checked_person, person_here
from engine.errors import Conflict, NotFound
from models.repositories.api_keys import ApiKeys
from models.repositories.login_sessions import LoginSessions
from models.repositories.memberships import Memberships
from models.repositories.users import Users


async def describe(resources: Resources, caller: Identity) -> MeReply:
    """Who the caller is."""
    user = None if caller.user_id is None else await Users(resources.database).get(caller.user_id)
    person = None if user is None else PersonReply(id=user.id, email=user.email, display_name=user.display_name)
    return MeReply(
        tenant_id=caller.tenant.uuid,
        key_id=caller.key_id,
        key_name=caller.key_name,
        scopes=list(caller.scopes),
        tenant_role=caller.tenant_role,
        user=person,
        expires_at=await _end(resources, caller),
    )


async def _end(resources: Resources, caller: Identity) -> datetime | None:
    if caller.share is not None:
        return None
    if caller.user_id is None or caller.session_id is None:
        return (await ApiKeys(resources.database).get(caller.tenant, caller.key_id)).expires_at
    sessions = await LoginSessions(resources.database).of_user(caller.user_id)
    return next((one.expires_at for one in sessions if one.id == caller.session_id), None)


async def rename(resources: Resources, caller: Identity, display_name: str) -> MeReply:
    """Raises: AccessDenied for an API key."""
    user_id, _ = person_here(caller)
    await Users(resources.database).rename(user_id, display_name)
    await audit(resources, caller, "user.rename", "user", user_id)
    return await describe(resources, caller)


async def change_password(resources: Resources, caller: Identity, given: PasswordRequest, address: str) -> None:
    """Set another password, which ends the person's other logins.

    Raises: AccessDenied for an API key; Unauthenticated if the old one is wrong; ValidationFailed if the new one is
    weak; RateLimited.
    """
    user_id, session_id = person_here(caller)
    new = given.new_password.get_secret_value()
    user = await checked_person(resources, caller.email, given.old_password.get_secret_value(), address)
    least = resources.settings.auth.min_password_length
    check_password(new, user.email, min_length=least, path="new_password")
    hashed = await resources.passwords.hash(new)
    current = await Users(resources.database).get(user_id)
    old_hash = None if current is None else current.password_hash
    if not await Users(resources.database).change_password(user_id, hashed, old_hash=old_hash):
        raise Conflict("the password was changed elsewhere at this moment")
    await LoginSessions(resources.database).end_all(user_id, "password changed", but=session_id)
    resources.sign_in.forget()
    await audit(resources, caller, "user.change_password", "user", user_id)


async def change_email(resources: Resources, caller: Identity, given: EmailRequest, address: str) -> MeReply:
    """Give the account another address, which ends the person's other logins. She signs in with it from now on.

    Raises: AccessDenied for an API key; Unauthenticated if the password is wrong; Conflict (EMAIL_TAKEN); RateLimited.
    """
    user_id, session_id = person_here(caller)
    await checked_person(resources, caller.email, given.password.get_secret_value(), address)
    await Users(resources.database).change_email(user_id, given.email)
    await LoginSessions(resources.database).end_all(user_id, "address changed", but=session_id)
    resources.sign_in.forget()
    await audit(resources, caller, "user.change_email", "user", user_id, before=caller.email, after=given.email)
    return await describe(resources, caller)


async def deactivate(resources: Resources, caller: Identity, given: DeactivateRequest, address: str) -> None:
    """Shut the own account out of every tenant: its logins end, its keys are refused.

    What the person made stays and goes on: workflows, schedules, credentials. An administrator of the installation can
    let the account in again. Raises: AccessDenied for an API key; Unauthenticated if the password is wrong; Conflict
    (LAST_ADMIN); RateLimited.
    """
    user_id, _ = person_here(caller)
    await checked_person(resources, caller.email, given.password.get_secret_value(), address)
    await Memberships(resources.database).check_dispensable(user_id)
    await Users(resources.database).set_disabled(user_id, True)
    await LoginSessions(resources.database).end_all(user_id, "deactivated")
    resources.sign_in.forget()
    await audit(resources, caller, "user.deactivate", "user", user_id)


async def tenants(resources: Resources, caller: Identity) -> list[TenantReply]:
    """The person's tenants, the oldest membership first. Raises: AccessDenied for an API key."""
    user_id, _ = person_here(caller)
    found = await Memberships(resources.database).of_user(user_id)
    return [TenantReply(id=one.tenant_id, name=one.name, role=one.role) for one in found if one.accepted_at]


async def sessions(resources: Resources, caller: Identity) -> list[SessionReply]:
    """The person's logins, newest first. Raises: AccessDenied for an API key."""
    user_id, session_id = person_here(caller)
    names = [name for name in SessionReply.model_fields if name != "current"]
    return [
        SessionReply(**{name: getattr(row, name) for name in names}, current=row.id == session_id)
        for row in await LoginSessions(resources.database).of_user(user_id)
    ]


async def end_session(resources: Resources, caller: Identity, session_id: UUID) -> None:
    """Raises: AccessDenied for an API key; NotFound."""
    user_id, _ = person_here(caller)
    if not await LoginSessions(resources.database).end_one(user_id, session_id):
        raise NotFound(f"no login {session_id}")
    resources.sign_in.forget()
    await audit(resources, caller, "auth.logout", "user", user_id, session=str(session_id))
