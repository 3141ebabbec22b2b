"""What the routes of credentials do. A secret is sealed before it reaches the database, and is never read here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from api.auth import Identity
from api.credential_access import may_change, may_use
from api.credentials.schemas import CredentialChanges, CredentialReplacement, NewCredentialBody
from api.resources import Resources
from api.workflow_access import sees_everything
from engine.activities.clients.credentials import CredentialFile
from engine.errors import AccessDenied, ConfigurationError, Conflict, Issue, NotFound, SystemFault, ValidationFailed
from engine.nodes.credential_types import CREDENTIAL_TYPES, CredentialType, field_issues, secret_issues
from models.ids import new_id
from models.repositories.credentials import Credentials, NewCredential, Uses
from models.repositories.records import Page
from models.sealing import Binding, Keyring
from models.tables import Credential


async def create(resources: Resources, caller: Identity, body: NewCredentialBody, *, force: bool) -> Credential:
    """Seal and store version 1.

    One that not all members may use is refused while a version of a workflow names it already: the workflow would get
    to use what whoever saved it was never allowed. Raises: ValidationFailed; Conflict (NAME_TAKEN, CREDENTIAL_IN_USE).
    """
    kind = _checked(body.type, body.fields, body.allowed_hosts)
    rows = Credentials(resources.database)
    if CredentialFile(resources.settings.credentials_file).has(body.name):
        message = f"the operator has a credential called {body.name!r}"
        raise Conflict(message, code="NAME_TAKEN", details={"name": body.name})
    if not body.for_all_members and not force:
        await _refuse_if_named(rows, caller, body.name)
    new = NewCredential(
        id=new_id(),
        name=body.name,
        type=kind.name,
        description=body.description,
        allowed_hosts=body.allowed_hosts,
        owner_id=caller.user_id,
        users=body.users,
        for_all_members=body.for_all_members,
    )
    binding = Binding(caller.tenant.uuid, new.id, 1, kind.name, tuple(body.allowed_hosts))
    return await rows.create(caller.tenant, new, _ring(resources).seal(body.fields, binding))


async def replace(
    resources: Resources, caller: Identity, credential_id: UUID, body: CredentialReplacement
) -> Credential:
    """Seal another secret as the next version; the old one is gone.

    Raises: NotFound; AccessDenied; ValidationFailed; Conflict (VERSION_CONFLICT).
    """
    row = await changeable(resources, caller, credential_id)
    if body.version is not None and body.version != row.version:
        message = f"the credential {row.name!r} is at version {row.version}"
        raise Conflict(message, code="VERSION_CONFLICT", details={"version": row.version})
    _checked(row.type, body.fields, body.allowed_hosts)
    binding = Binding(row.tenant_id, row.id, row.version + 1, row.type, tuple(body.allowed_hosts))
    sealed = _ring(resources).seal(body.fields, binding)
    return await Credentials(resources.database).replace(caller.tenant, row, body.allowed_hosts, sealed)


async def change(resources: Resources, caller: Identity, credential_id: UUID, body: CredentialChanges) -> Credential:
    """Change what is not secret. Raises: NotFound; AccessDenied."""
    await changeable(resources, caller, credential_id)
    return await Credentials(resources.database).describe(
        caller.tenant,
        credential_id,
        description=body.description,
        for_all_members=body.for_all_members,
        users=body.users,
    )


async def delete(resources: Resources, caller: Identity, credential_id: UUID, *, force: bool) -> Credential:
    """Delete it, and give what it was.

    Raises: NotFound; AccessDenied; Conflict (CREDENTIAL_IN_USE) while published workflows or AI models name it.
    """
    row = await changeable(resources, caller, credential_id)
    rows = Credentials(resources.database)
    if not force:
        await _refuse_if_used(rows, caller, row.name)
    await rows.delete(caller.tenant, credential_id)
    return row


async def usable(resources: Resources, caller: Identity, credential_id: UUID) -> Credential:
    """Raises: NotFound if there is none that the caller may use."""
    row = await Credentials(resources.database).get(caller.tenant, credential_id)
    if not may_use(caller, row):
        raise NotFound(f"no credential {credential_id}")
    return row


async def changeable(resources: Resources, caller: Identity, credential_id: UUID) -> Credential:
    """Raises: NotFound if there is none that the caller may use; AccessDenied if it may not change it."""
    row = await usable(resources, caller, credential_id)
    if not may_change(caller, row):
        raise AccessDenied("only the owner of a credential and administrators of the tenant may change it")
    return row


async def page(resources: Resources, caller: Identity, *, before: UUID | None, limit: int) -> Page[Credential]:
    """Those that the caller may use, newest first."""
    everything = sees_everything(caller)
    rows = Credentials(resources.database)
    return await rows.list(caller.tenant, usable_by=caller.user_id, everything=everything, before=before, limit=limit)


async def uses_of(resources: Resources, caller: Identity, rows: Sequence[Credential]) -> dict[str, Uses]:
    """Who names those of the credentials that the caller may change."""
    names = [row.name for row in rows if may_change(caller, row)]
    return await Credentials(resources.database).uses(caller.tenant, names) if names else {}


def _ring(resources: Resources) -> Keyring:
    """Raises: SystemFault while this installation has no keys to seal with."""
    try:
        return resources.keys.ring()
    except ConfigurationError as error:
        raise SystemFault(f"no secret can be stored: {error.message}") from None


def _checked(type_name: str, fields: Mapping[str, Any], hosts: Sequence[str]) -> CredentialType:
    kind = CREDENTIAL_TYPES.get(type_name)
    if kind is None:
        known = ", ".join(CREDENTIAL_TYPES)
        issue = Issue("INVALID_VALUE", "body.type", "there is no such type of credential", f"one of {known}")
        raise ValidationFailed([issue], "the request is not valid")
    issues = [*field_issues(kind, fields, "body.fields"), *secret_issues(kind, fields, "body.fields")]
    if kind.needs_hosts and not hosts:
        message = f"a credential of type {kind.name} must be bound to the hosts that it may be sent to"
        issues.append(Issue("MISSING_KEY", "body.allowed_hosts", message, "such as [api.example.org]"))
    if issues:
        raise ValidationFailed(issues, "the request is not valid")
    return kind


async def _refuse_if_used(rows: Credentials, caller: Identity, name: str) -> None:
    uses = (await rows.uses(caller.tenant, [name]))[name]
    _refuse(name, {use.id: use.name for use in uses.published}, uses.models)


async def _refuse_if_named(rows: Credentials, caller: Identity, name: str) -> None:
    models = (await rows.uses(caller.tenant, [name]))[name].models
    _refuse(name, await rows.named_by_any(caller.tenant, name), models)


def _refuse(name: str, workflows: Mapping[UUID, str], models: Sequence[str]) -> None:
    if not workflows and not models:
        return
    named = [*(f"workflow {one}" for one in workflows.values()), *(f"AI model {one}" for one in models)]
    raise Conflict(
        f"the credential {name!r} is named by {', '.join(named)[:500]}: force=true does it all the same",
        code="CREDENTIAL_IN_USE",
        details={"workflows": [{"id": str(one), "name": text} for one, text in workflows.items()], "ai_models": models},
    )
