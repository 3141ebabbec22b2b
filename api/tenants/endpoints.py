"""Routes of tenants. Administrators of the first tenant administer the installation; others see and name their own."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.access import Caller
from api.audit import audit
from api.cursors import Cursor, Limit, read_id, write_cursor
from api.permissions import Permission, requires
from api.resources import Held
from api.schemas import Page
from api.tenants.schemas import NewTenantReply, TenantChange, TenantRecord, TenantRequest
from api.users.service import invite, need_installation_admin
from models.repositories.tenants import Tenants
from models.tables import Tenant
from models.tenancy import mint_tenant

router = APIRouter(tags=["tenants"])


@router.get("/tenants")
@requires(Permission.TENANT_WRITE)
async def list_tenants(resources: Held, caller: Caller, cursor: Cursor = None, limit: Limit = 50) -> Page[TenantRecord]:
    """Every tenant, newest first. For administrators of the installation."""
    need_installation_admin(caller)
    page = await Tenants(resources.database).page(before=read_id(cursor), limit=limit)
    return Page[TenantRecord](items=[_record(row) for row in page.items], next=write_cursor(page.next))


@router.post("/tenants", status_code=201)
@requires(Permission.TENANT_WRITE)
async def create_tenant(body: TenantRequest, response: Response, resources: Held, caller: Caller) -> NewTenantReply:
    """Make a tenant and invite its administrator. For administrators of the installation. 409 if the name is taken."""
    need_installation_admin(caller)
    row = await Tenants(resources.database).create(body.name)
    await audit(resources, caller, "tenant.create", "tenant", row.id, name=row.name)
    invited = None
    if body.administrator is not None:
        wanted = body.administrator.model_copy(update={"role": "admin"})
        invited = await invite(resources, caller, wanted, mint_tenant(row.id))
    response.headers["Cache-Control"] = "no-store"
    return NewTenantReply(**_record(row).model_dump(), administrator=invited)


@router.get("/tenant")
@requires(Permission.TENANT_READ)
async def get_tenant(resources: Held, caller: Caller) -> TenantRecord:
    """The caller's own tenant."""
    return _record(await Tenants(resources.database).get(caller.tenant))


@router.patch("/tenant")
@requires(Permission.TENANT_WRITE)
async def rename_tenant(body: TenantChange, resources: Held, caller: Caller) -> TenantRecord:
    """Name the caller's own tenant anew. 409 if the name is taken."""
    row = await Tenants(resources.database).rename(caller.tenant, body.name)
    await audit(resources, caller, "tenant.rename", "tenant", row.id, name=row.name)
    return _record(row)


def _record(row: Tenant) -> TenantRecord:
    return TenantRecord(id=row.id, name=row.name, created_at=row.created_at)
