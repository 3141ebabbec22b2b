"""Signing in by the provider of OpenID Connect: whose account it is, and which tenants it opens."""

from __future__ import annotations

import hmac
import logging
from typing import Any, cast

from api.authentication.oidc import Provider, Vouched
from api.resources import Resources
from api.sign_in.schemas import TokenReply
from api.sign_in.service import open_session
from engine.errors import AccessDenied, NotFound, Unauthenticated
from models.repositories.login_sessions import LoginSessions
from models.repositories.memberships import Memberships
from models.repositories.tenants import Tenants
from models.repositories.users import Users
from models.tables import UserAccount
from models.tenancy import mint_tenant

STATE_LIFETIME_S = 600
_log = logging.getLogger(__name__)


async def begin(resources: Resources) -> tuple[str, str]:
    """The provider's page, and a sealed note of this sign-in for the browser to keep. Raises: NotFound; SystemFault."""
    started = await _provider(resources).begin()
    note = {"state": started.state, "nonce": started.nonce, "verifier": started.verifier}
    return started.url, resources.tokens.seal(note, STATE_LIFETIME_S)


async def finish(resources: Resources, code: str, state: str, sealed: str) -> TokenReply:
    """A login for whom the provider vouches.

    Raises: Unauthenticated if the answer belongs to no sign-in that this browser began, or is not believed;
    AccessDenied; NotFound without a provider; SystemFault if it is away.
    """
    provider = _provider(resources)
    note = resources.tokens.unseal(sealed)
    if not hmac.compare_digest(str(note["state"]).encode(), state.encode()):
        raise Unauthenticated("this answer belongs to another sign-in; begin again")
    vouched = await provider.finish(code, nonce=str(note["nonce"]), verifier=str(note["verifier"]))
    user = await _account(resources, vouched)
    if user.disabled_at is not None:
        raise AccessDenied("this account is disabled")
    await _admit(resources, vouched, user)
    return await open_session(resources, user, None, "oidc")


def _provider(resources: Resources) -> Provider:
    if resources.provider is None:
        raise NotFound("no provider of OpenID Connect is set up here")
    return resources.provider


async def _account(resources: Resources, vouched: Vouched) -> UserAccount:
    """The account of the subject; at the first time, the one of the verified address, or a new one."""
    users = Users(resources.database)
    linked = await users.of_provider(vouched.issuer, vouched.subject)
    if linked is not None:
        found = await users.get(linked)
        assert found is not None
        return found
    if not vouched.email or not vouched.email_verified:
        raise AccessDenied("the provider does not vouch for your e-mail address", code="EMAIL_NOT_VERIFIED")
    found = await users.find(vouched.email)
    if found is None and not resources.settings.auth.oidc_create_users:
        raise AccessDenied("you have no account here; ask an administrator for an invitation", code="NO_TENANT")
    user = found or (await users.ensure(vouched.email, vouched.name, verified=True))[0]
    if await users.link(vouched.issuer, vouched.subject, user.id):
        # The address is proved only now: whoever set a password before may have been somebody else.
        await LoginSessions(resources.database).end_all(user.id, "address verified")
        resources.sign_in.forget()
    return await users.get(user.id) or user


async def _admit(resources: Resources, vouched: Vouched, user: UserAccount) -> None:
    """Make the person a member of what the settings map her to, and take up what she was offered."""
    members = Memberships(resources.database)
    for name in _mapped(resources, vouched.claims):
        tenant = await Tenants(resources.database).named(name)
        if tenant is None:
            _log.error("STRUCTFORGE_AUTH__OIDC_TENANT(S) names a tenant that does not exist: %s", name)
            continue
        await members.ensure(mint_tenant(tenant.id), user.id, "member")
    if vouched.email_verified and vouched.email.lower() == user.email:
        for offer in await members.of_user(user.id):
            if offer.accepted_at is None:
                await members.accept(mint_tenant(offer.tenant_id), user.id)


def _mapped(resources: Resources, claims: dict[str, Any]) -> list[str]:
    settings = resources.settings.auth
    value = claims.get(settings.oidc_tenant_claim) if settings.oidc_tenant_claim else None
    values = cast("list[Any]", value) if isinstance(value, list) else [value]
    named = [settings.oidc_tenants[one] for one in values if isinstance(one, str) and one in settings.oidc_tenants]
    return named or ([settings.oidc_tenant] if settings.oidc_tenant else [])
