"""Signatures of calls: each is good for one."""

from __future__ import annotations

from datetime import datetime

from models.session import Database
from models.tenancy import TenantId

_SPEND = "SELECT spend_nonce($1, $2, $3, $4)"


class Nonces:
    """The table `hook_nonce`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def spend(self, tenant: TenantId, credential: str, nonce: str, until: datetime) -> bool:
        """Use a nonce up; False if it was used before. It is remembered until `until`, which must be past the time up
        to which the call counts as fresh.

        Raises: SystemFault if PostgreSQL is away, and then the call must be refused.
        """
        async with self._database.connection() as connection:
            return bool(await connection.fetchval(_SPEND, tenant.uuid, credential, nonce, until))
