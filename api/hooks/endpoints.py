"""Routes of webhooks: those that the world calls, those that editors try, and the list of them."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request, Response

from api.access import Caller
from api.hooks import listing, service
from api.hooks.route import HookRoute
from api.hooks.schemas import HookList
from api.people import person_of
from api.permissions import Permission, requires
from api.resources import Held
from api.vouching import vouch_for_start

# Open to all: whether a call may come in is what its webhook asks for, and that is asked before anything is started.
public = APIRouter(tags=["webhooks"], route_class=HookRoute)
drafts = APIRouter(prefix="/workflows/{workflow_id}/hooks", tags=["webhooks"], route_class=HookRoute)
router = APIRouter(prefix="/workflows/{workflow_id}/hooks", tags=["webhooks"])
TRIED = tuple(method for method in service.METHODS if method != "HEAD")  # whose answer would tell its editor nothing


@public.api_route("/hooks/{tenant}/{path:path}", methods=[*service.METHODS], include_in_schema=False)
@requires(Permission.PUBLIC)
async def call_hook(tenant: str, path: str, request: Request, resources: Held) -> Response:
    """Call a webhook of a published workflow; `tenant` is the tenant's id or name."""
    return await service.call(resources, request, tenant, path)


@drafts.api_route("/test/{path:path}", methods=[*TRIED], include_in_schema=False)
@requires(Permission.WORKFLOW_WRITE, Permission.WORKFLOW_RUN)
async def try_hook(workflow_id: UUID, path: str, request: Request, resources: Held, caller: Caller) -> Response:
    """Call a webhook of the latest version, published or not."""
    version = await service.draft_of(resources, caller.tenant, workflow_id)
    await vouch_for_start(resources, caller, version)
    return await service.call_draft(resources, request, caller.tenant, workflow_id, path, person_of(caller).id)


@router.get("")
@requires(Permission.WORKFLOW_READ)
async def list_hooks(workflow_id: UUID, request: Request, resources: Held, caller: Caller) -> HookList:
    """The webhooks of a workflow with their full addresses, and how a call proves itself."""
    return await listing.list_hooks(resources, caller.tenant, workflow_id, str(request.base_url))
