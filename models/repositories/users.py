"""People who sign in."""

from __future__ import annotations

from models.ids import new_id
from models.repositories.records import columns_of, row_of
from models.session import Database
from models.tables import AppUser
from models.tenancy import TenantId

_ALL = columns_of(AppUser)
_INSERT = """
    INSERT INTO app_user (tenant_id, id, email, display_name) VALUES ($1, $2, $3, $4)
    ON CONFLICT (tenant_id, email) DO NOTHING
"""


class Users:
    """The table `app_user`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ensure(self, tenant: TenantId, email: str, display_name: str) -> AppUser:
        """Make the person if the tenant has none with this address, without a password."""
        async with self._database.transaction(tenant) as transaction:
            await transaction.execute(_INSERT, tenant.uuid, new_id(), email.lower(), display_name)
            query = f"SELECT {_ALL} FROM app_user WHERE tenant_id = $1 AND email = $2"
            record = await transaction.fetchrow(query, tenant.uuid, email.lower())
        assert record is not None
        return row_of(AppUser, record)
