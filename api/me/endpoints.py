"""Routes about the caller."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request

from api.access import Caller
from api.me import service
from api.me.schemas import DeactivateRequest, EmailRequest, MeReply, PasswordRequest, ProfileRequest, SessionReply
from api.permissions import Permission, requires
from api.resources import Held
from api.schemas import Page
from api.sign_in.endpoints import address_of
from api.sign_in.schemas import TenantReply

router = APIRouter(prefix="/me", tags=["me"])


@router.get("")
@requires(Permission.ME_READ)
async def get_me(resources: Held, caller: Caller) -> MeReply:
    """The caller's tenant, its API key or login, and the person whose it is."""
    return await service.describe(resources, caller)


@router.patch("")
@requires(Permission.ME_WRITE, in_person=True)
async def change_me(body: ProfileRequest, resources: Held, caller: Caller) -> MeReply:
    """Change the name that others see. For people who have signed in."""
    return await service.rename(resources, caller, body.display_name)


@router.post("/password", status_code=204)
@requires(Permission.ME_WRITE, in_person=True)
async def change_password(body: PasswordRequest, request: Request, resources: Held, caller: Caller) -> None:
    """Set another password; all other logins end. 401 if the old one is wrong."""
    await service.change_password(resources, caller, body, address_of(request))


@router.post("/email")
@requires(Permission.ME_WRITE, in_person=True)
async def change_email(body: EmailRequest, request: Request, resources: Held, caller: Caller) -> MeReply:
    """Give the account another address; all other logins end. 401 if the password is wrong, 409 if it is taken."""
    return await service.change_email(resources, caller, body, address_of(request))


@router.post("/deactivate", status_code=204)
@requires(Permission.ME_WRITE, in_person=True)
async def deactivate_me(body: DeactivateRequest, request: Request, resources: Held, caller: Caller) -> None:
    """Shut the own account: logins end and keys are refused, in every tenant. 409 for a last administrator.

    Workflows, schedules and credentials that the person made stay and go on.
    """
    await service.deactivate(resources, caller, body, address_of(request))


@router.get("/tenants")
@requires(Permission.ME_READ, in_person=True)
async def list_my_tenants(resources: Held, caller: Caller) -> Page[TenantReply]:
    """The tenants that the person belongs to, all on one page."""
    return Page[TenantReply](items=await service.tenants(resources, caller))


@router.get("/sessions")
@requires(Permission.ME_READ, in_person=True)
async def list_my_sessions(resources: Held, caller: Caller) -> Page[SessionReply]:
    """The person's logins in all tenants, newest first, all on one page."""
    return Page[SessionReply](items=await service.sessions(resources, caller))


@router.delete("/sessions/{session_id}", status_code=204)
@requires(Permission.ME_WRITE, in_person=True)
async def end_my_session(session_id: UUID, resources: Held, caller: Caller) -> None:
    """End a login; its access token is refused within seconds."""
    await service.end_session(resources, caller, session_id)
