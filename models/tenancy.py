"""The tenant of a piece of work, as a type of its own.

Every repository demands a `TenantId`, so text from a request can never reach a query as a tenant. Only two places
may mint one: authentication (`api.auth`; for a call of a webhook, what its address was found to be), and the worker's
entry from a Temporal input that authentication made.
"""

from __future__ import annotations

from uuid import UUID


class TenantId:
    """An authenticated tenant. `str()` gives the UUID's text, as Redis keys and object paths carry it."""

    __slots__ = ("_hash", "_text", "uuid")

    uuid: UUID

    def __init__(self, uuid: UUID, *, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("a TenantId is minted by models.tenancy.mint_tenant alone")
        self.uuid = uuid
        self._text = str(uuid)
        self._hash = hash(uuid)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"TenantId({self._text})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TenantId) and other.uuid == self.uuid

    def __hash__(self) -> int:
        return self._hash


_SEAL = object()


def mint_tenant(tenant: UUID | str) -> TenantId:
    """Vouch for a tenant that has been authenticated.

    Raises: ValueError if the text is no UUID.
    """
    return TenantId(tenant if isinstance(tenant, UUID) else UUID(tenant), seal=_SEAL)
