"""The first boot of an installation: a tenant, its administrator, and the first API key."""

from __future__ import annotations

from pydantic import SecretStr

from models.repositories.api_keys import ApiKeys
from models.repositories.memberships import Memberships
from models.repositories.tenants import FIRST_TENANT, Tenants
from models.repositories.users import Users
from models.session import Database
from models.tenancy import TenantId, mint_tenant

TENANT_NAME = "default"
ADMINISTRATOR = "admin@localhost"


async def ensure_first_tenant(database: Database, key: SecretStr | None) -> TenantId:
    """Make what is missing of the first tenant, its administrator and, if `key` is given, its API key.

    Repeating it changes nothing; several processes may do it at once. The key may do everything. The administrator has
    no password until the operator sets one: structforge user set-password.
    Raises: NotFound if the key belongs to another tenant; SystemFault.
    """
    tenant = mint_tenant(FIRST_TENANT)
    await Tenants(database).ensure(tenant, TENANT_NAME)
    administrator, _ = await Users(database).ensure(ADMINISTRATOR, "Administrator", verified=True)
    await Memberships(database).ensure(tenant, administrator.id, "admin")
    if key is not None:
        await ApiKeys(database).register(tenant, "first key", key.get_secret_value(), scopes=("*",))
    return tenant
