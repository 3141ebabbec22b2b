"""Members of a tenant with roles, and something for them to have roles on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from api.resources import Resources
from models.ids import new_id
from models.repositories.api_keys import ApiKeys
from models.repositories.login_sessions import LoginSessions
from models.repositories.memberships import Memberships, TenantRole
from models.repositories.users import Users
from models.session import Connection
from models.tenancy import TenantId
from tests.api.conftest import document


@dataclass(frozen=True, slots=True)
class Somebody:
    """A person with an API key that may do all that the person may, and with an access token of a login."""

    id: UUID
    email: str
    secret: str
    token: str


async def make_member(resources: Resources, tenant: TenantId, role: TenantRole = "member") -> Somebody:
    """A new person of the tenant."""
    email = f"{uuid4().hex}@example.com"
    account, _ = await Users(resources.database).ensure(email, "Somebody", verified=True)
    await Memberships(resources.database).ensure(tenant, account.id, role)
    _, secret = await ApiKeys(resources.database).create(tenant, "a key", scopes=("*",), user_id=account.id)
    session, _ = await LoginSessions(resources.database).open(
        tenant, account.id, "password", datetime.now(UTC) + timedelta(hours=1)
    )
    token = resources.tokens.issue(account.id, tenant.uuid, session.id)
    return Somebody(account.id, email, secret, token)


@dataclass(frozen=True, slots=True)
class Target:
    """A workflow with a version that is published, an ended execution, an open approval and a schedule."""

    workflow_id: UUID = field(default_factory=new_id)
    execution_id: UUID = field(default_factory=new_id)
    approval_id: UUID = field(default_factory=new_id)
    schedule_id: UUID = field(default_factory=new_id)
    links: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def hidden(self) -> tuple[str, ...]:
        """What somebody reads who may not know that it is there."""
        return (
            f"no workflow {self.workflow_id}",
            f"no execution {self.execution_id}",
            f"no approval {self.approval_id}",
            f"no schedule {self.schedule_id}",
        )


async def make_target(resources: Resources, tenant: TenantId, owner: UUID, roles: Mapping[UUID, str]) -> Target:
    """All of it with grants and with a link of each kind, in one transaction."""
    target = Target()
    async with resources.database.transaction(tenant) as transaction:
        version_id = await _make_workflow(transaction, tenant, target.workflow_id, owner)
        await transaction.executemany(
            "INSERT INTO workflow_grant (tenant_id, workflow_id, member_id, role) VALUES ($1, $2, $3, $4)",
            [(tenant.uuid, target.workflow_id, member, role) for member, role in roles.items()],
        )
        await transaction.execute(
            """INSERT INTO execution (tenant_id, id, workflow_id, version_id, workflow_name, status, finished_at)
               VALUES ($1, $2, $3, $4, 'w', 'success', now())""",
            tenant.uuid, target.execution_id, target.workflow_id, version_id,
        )  # fmt: skip
        await transaction.execute(
            """INSERT INTO approval (tenant_id, id, execution_id, workflow_id, workflow_name, temporal_id, node_path,
                   iteration, generation, approvers, decisions) VALUES ($1, $2, $3, $4, 'w', 'none', 'ask', '{}', 0,
                   '{}', '[]')""",
            tenant.uuid, target.approval_id, target.execution_id, target.workflow_id,
        )  # fmt: skip
        await transaction.execute(
            "INSERT INTO schedule (tenant_id, id, workflow_id, name, cron) VALUES ($1, $2, $3, $4, '0 5 * * *')",
            tenant.uuid, target.schedule_id, target.workflow_id, str(target.schedule_id),
        )  # fmt: skip
        for role in ("viewer", "executor"):
            target.links[role] = await make_link(transaction, tenant, target.workflow_id, role)
        past = datetime.now(UTC) - timedelta(seconds=1)
        target.links["expired"] = await make_link(transaction, tenant, target.workflow_id, "executor", past)
    return target


async def make_link(
    transaction: Connection, tenant: TenantId, workflow_id: UUID, role: str, expires_at: datetime | None = None
) -> str:
    """The token of a new link, which may have expired: the API makes none such."""
    token = f"sfs_{uuid4().hex}"
    await transaction.execute(
        """INSERT INTO share_link (tenant_id, id, workflow_id, hash, role, expires_at)
           VALUES ($1, $2, $3, $4, $5, $6)""",
        tenant.uuid, new_id(), workflow_id, hashlib.sha256(token.encode()).hexdigest(), role,
        expires_at or datetime.now(UTC) + timedelta(hours=1),
    )  # fmt: skip
    return token


async def _make_workflow(transaction: Connection, tenant: TenantId, workflow_id: UUID, owner: UUID) -> UUID:
    version_id, spec = new_id(), document()
    await transaction.execute(
        """INSERT INTO workflow (tenant_id, id, name, owner, latest_version, published_version)
           VALUES ($1, $2, $3, $4, 1, 1)""",
        tenant.uuid, workflow_id, spec["name"], str(owner),
    )  # fmt: skip
    await transaction.execute(
        """INSERT INTO workflow_version (tenant_id, id, workflow_id, number, spec, digest)
           VALUES ($1, $2, $3, 1, $4, $5)""",
        tenant.uuid, version_id, workflow_id, spec, uuid4().hex,
    )  # fmt: skip
    return version_id
