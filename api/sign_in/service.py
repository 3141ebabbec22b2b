"""Signing in, staying signed in, and the end of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from api.audit import audit
from api.auth import Identity
from api.authentication.passwords import check_password
from api.rate_limits import rate_of
from api.resources import Resources
from api.sign_in.schemas import AcceptRequest, PersonReply, TenantReply, TokenReply, TokenRequest
from engine.errors import AccessDenied, Conflict, Unauthenticated
from models.repositories.api_keys import hash_secret
from models.repositories.login_sessions import LoginSessions
from models.repositories.memberships import Memberships, TenantOfUser
from models.repositories.users import Users, plain_email
from models.tables import LoginSession, UserAccount
from models.tenancy import TenantId, mint_tenant


async def sign_in(resources: Resources, given: TokenRequest, address: str) -> TokenReply:
    """A login by password. Takes as long for an address that nobody has.

    Raises: Unauthenticated; AccessDenied without a tenant to work in; RateLimited; SystemFault.
    """
    if not resources.settings.auth.password_login:
        raise AccessDenied("nobody signs in by password here", code="PASSWORD_LOGIN_OFF")
    user = await checked_person(resources, given.email, given.password.get_secret_value(), address)
    return await open_session(resources, user, given.tenant, "password")


async def checked_person(resources: Resources, email: str, password: str, address: str) -> UserAccount:
    """The person with this password; a hash of older parameters is renewed. Raises: Unauthenticated; RateLimited."""
    await _count_try(resources, email, address)
    user = await Users(resources.database).find(email)
    known = user if user is not None and user.disabled_at is None else None
    fits, renewed = await resources.passwords.verify(password, None if known is None else known.password_hash)
    if known is None or not fits:
        raise Unauthenticated("the e-mail address or the password is wrong")
    if renewed is not None:
        await Users(resources.database).change_password(known.id, renewed, old_hash=known.password_hash)
    return known


async def _count_try(resources: Resources, email: str, address: str) -> None:
    limits, settings = resources.rate_limits, resources.settings.auth
    await limits.take("address", address or "unknown", rate_of(settings.login_per_address))
    # Hashed: Redis need not hold the addresses of people, nor keys of any length.
    await limits.take("e-mail address", hash_secret(plain_email(email)), rate_of(settings.login_per_email))


async def refresh(resources: Resources, token: str) -> TokenReply:
    """The next pair of tokens of a login. Raises: Unauthenticated."""
    rotated = await LoginSessions(resources.database).rotate(token)
    if rotated is None:
        resources.sign_in.forget()
        raise Unauthenticated("the refresh token is not good, was used before, or its login has ended")
    session, fresh = rotated
    user = await Users(resources.database).get(session.user_id)
    tenants = await Memberships(resources.database).of_user(session.user_id)
    chosen = next((one for one in _accepted(tenants) if one.tenant_id == session.tenant_id), None)
    if user is None or user.disabled_at is not None or chosen is None:
        raise Unauthenticated("this login has ended")
    return _reply(resources, user, session, fresh, chosen, tenants)


async def sign_out(resources: Resources, token: str) -> None:
    """End the login of a refresh token; one that is not known ends nothing."""
    session = await LoginSessions(resources.database).end(token)
    resources.sign_in.forget()
    if session is not None:
        user = await Users(resources.database).get(session.user_id)
        if user is not None:
            await audit(resources, _identity(session, user), "auth.logout", "user", user.id)


async def switch_tenant(resources: Resources, caller: Identity, tenant: str) -> TokenReply:
    """A login of the same person into another tenant, which ends when this one does. Raises: AccessDenied."""
    user_id, session_id = person_here(caller)
    user = await Users(resources.database).get(user_id)
    session = next(
        (one for one in await LoginSessions(resources.database).of_user(user_id) if one.id == session_id), None
    )
    if user is None or session is None:
        raise Unauthenticated("this login has ended")
    return await open_session(resources, user, tenant, session.method, until=session.expires_at)


async def accept(resources: Resources, given: AcceptRequest, address: str) -> TokenReply:
    """Take up an invitation; a login into its tenant.

    A new account gets this password. One that has a password must show it: the invitation was sent to the person, and
    whoever made an account with her address does not hold it.
    Raises: Unauthenticated; ValidationFailed for a weak password; RateLimited.
    """
    hashed = hash_secret(given.token.get_secret_value())
    members = Memberships(resources.database)
    offer = await members.of_invitation(hashed)
    user = None if offer is None else await Users(resources.database).get(offer.user_id)
    if offer is None or user is None or user.disabled_at is not None:
        raise Unauthenticated("the invitation is not known, was accepted, or has expired")
    user = await _prove(resources, user, given, address)
    tenant = mint_tenant(offer.tenant_id)
    if not await members.accept(tenant, user.id, hashed):
        raise Unauthenticated("the invitation is not known, was accepted, or has expired")
    return await open_session(resources, user, str(tenant), "invitation")


async def _prove(resources: Resources, user: UserAccount, given: AcceptRequest, address: str) -> UserAccount:
    password = given.password.get_secret_value()
    if user.password_hash is not None:
        return await checked_person(resources, user.email, password, address)
    check_password(password, user.email, min_length=resources.settings.auth.min_password_length)
    users = Users(resources.database)
    if not await users.change_password(user.id, await resources.passwords.hash(password), old_hash=None):
        raise Conflict("somebody else accepts an invitation of this person at this moment")
    if given.display_name:
        await users.rename(user.id, given.display_name)
    return await users.get(user.id) or user


async def open_session(
    resources: Resources, user: UserAccount, tenant: str | None, method: str, *, until: datetime | None = None
) -> TokenReply:
    """Sign a person in who has proved who she is. Raises: AccessDenied if she does not belong to the tenant."""
    tenants = await Memberships(resources.database).of_user(user.id)
    chosen = _choose(_accepted(tenants), tenant)
    lifetime = timedelta(seconds=resources.settings.auth.session_lifetime_s)
    sessions = LoginSessions(resources.database)
    minted = mint_tenant(chosen.tenant_id)
    session, token = await sessions.open(minted, user.id, method, until or datetime.now(UTC) + lifetime)
    await Users(resources.database).note_login(user.id)
    await audit(resources, _identity(session, user), "auth.login", "user", user.id, method=method)
    return _reply(resources, user, session, token, chosen, tenants)


def person_here(caller: Identity) -> tuple[UUID, UUID]:
    """Id and login of a person who is here herself. Raises: AccessDenied for an API key."""
    if caller.user_id is None or caller.session_id is None:
        raise AccessDenied("a person does this who has signed in, no API key")
    return caller.user_id, caller.session_id


def _accepted(tenants: Sequence[TenantOfUser]) -> list[TenantOfUser]:
    return [one for one in tenants if one.accepted_at is not None]


def _choose(tenants: Sequence[TenantOfUser], wanted: str | None) -> TenantOfUser:
    if not tenants:
        raise AccessDenied("you belong to no tenant; ask an administrator for an invitation", code="NO_TENANT")
    if wanted is None:
        return tenants[0]
    for one in tenants:
        if wanted in (str(one.tenant_id), one.name):
            return one
    raise AccessDenied("you do not belong to this tenant", code="NO_TENANT")


def _identity(session: LoginSession, user: UserAccount) -> Identity:
    tenant: TenantId = mint_tenant(session.tenant_id)
    return Identity(tenant, session.id, user.email, (), user.id, email=user.email, session_id=session.id)


def _reply(
    resources: Resources,
    user: UserAccount,
    session: LoginSession,
    refresh_token: str,
    chosen: TenantOfUser,
    tenants: Sequence[TenantOfUser],
) -> TokenReply:
    return TokenReply(
        access_token=resources.tokens.issue(user.id, session.tenant_id, session.id),
        expires_in=resources.tokens.access_lifetime_s,
        refresh_token=refresh_token,
        session_expires_at=session.expires_at,
        user=PersonReply(id=user.id, email=user.email, display_name=user.display_name),
        tenant=_tenant(chosen),
        tenants=[_tenant(one) for one in _accepted(tenants)],
    )


def _tenant(one: TenantOfUser) -> TenantReply:
    return TenantReply(id=one.tenant_id, name=one.name, role=one.role)
