"""People of the tests: made with a password, and signed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx2
from fastapi import FastAPI

from api.resources import Resources
from models.repositories.memberships import Memberships, TenantRole
from models.repositories.users import Users
from models.tenancy import TenantId
from tests.api.conftest import caller

PASSWORD = "a long walk by the sea"
_hashed: list[str] = []  # Argon2 is slow on purpose; all people of the tests share a password


@dataclass(frozen=True, slots=True)
class Somebody:
    id: UUID
    email: str


async def make_person(resources: Resources, *tenants: tuple[TenantId, TenantRole]) -> Somebody:
    """A person of a fresh address who is a member of these tenants."""
    users = Users(resources.database)
    made, _ = await users.ensure(f"{uuid4().hex[:12]}@people.test", "Somebody")
    if not _hashed:
        _hashed.append(await resources.passwords.hash(PASSWORD))
    await users.change_password(made.id, _hashed[0], old_hash=None)
    for tenant, role in tenants:
        await Memberships(resources.database).ensure(tenant, made.id, role)
    return Somebody(made.id, made.email)


async def sign_in(app: FastAPI, email: str, password: str = PASSWORD, **more: object) -> dict[str, Any]:
    async with caller(app, None) as client:
        answer = await client.post("/auth/token", json={"email": email, "password": password, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def signed_in(app: FastAPI, email: str, **more: object) -> httpx2.AsyncClient:
    """A client that shows the access token of a fresh login."""
    return caller(app, (await sign_in(app, email, **more))["access_token"])
