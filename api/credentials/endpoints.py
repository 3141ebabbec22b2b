"""Routes of credentials: what is written can be used by workflows and replaced, and never be read."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from api.access import Caller
from api.audit import audit
from api.credentials import service
from api.credentials.schemas import (
    CredentialChanges,
    CredentialReplacement,
    CredentialReply,
    CredentialTypeReply,
    CredentialTypesReply,
    NewCredentialBody,
    UsesReply,
    WorkflowUseReply,
)
from api.cursors import Cursor, Limit, read_id, write_cursor
from api.permissions import Permission, requires
from api.resources import Held
from api.schemas import Page
from engine.nodes.credential_types import CREDENTIAL_TYPES
from models.repositories.credentials import Uses
from models.tables import Credential

router = APIRouter(prefix="/credentials", tags=["credentials"])
Force = Annotated[bool, Query(description="Do it although published workflows or AI models name the credential")]


@router.get("/types")
@requires(Permission.CREDENTIAL_READ)
async def list_credential_types(caller: Caller) -> CredentialTypesReply:
    """The types that there are, each with the JSON Schema of its fields."""
    items = [
        CredentialTypeReply(
            type=kind.name,
            title=kind.title,
            description=kind.description,
            needs_hosts=kind.needs_hosts,
            fields=kind.json_schema(),
        )
        for kind in CREDENTIAL_TYPES.values()
    ]
    return CredentialTypesReply(items=items)


@router.post("", status_code=201)
@requires(Permission.CREDENTIAL_WRITE)
async def create_credential(
    body: NewCredentialBody, response: Response, resources: Held, caller: Caller, force: Force = False
) -> CredentialReply:
    """Store a secret; whoever asks becomes its owner. 409 if the name is taken, and for a credential that not all
    members may use while published workflows name it already."""
    row = await service.create(resources, caller, body, force=force)
    await audit(resources, caller, "credential.create", "credential", row.id, **_facts(row))
    response.headers["Location"] = f"/api/v1/credentials/{row.id}"
    return await _reply(resources, caller, row)


@router.get("")
@requires(Permission.CREDENTIAL_READ)
async def list_credentials(
    resources: Held, caller: Caller, cursor: Cursor = None, limit: Limit = 50
) -> Page[CredentialReply]:
    """The credentials that the caller may use, newest first. Those of the operator's file are not among them."""
    page = await service.page(resources, caller, before=read_id(cursor), limit=limit)
    uses = await service.uses_of(resources, caller, page.items)
    items = [_shown(row, uses.get(row.name)) for row in page.items]
    return Page[CredentialReply](items=items, next=write_cursor(page.next))


@router.get("/{credential_id}")
@requires(Permission.CREDENTIAL_READ)
async def get_credential(credential_id: UUID, resources: Held, caller: Caller) -> CredentialReply:
    """One credential, without its secret."""
    return await _reply(resources, caller, await service.usable(resources, caller, credential_id))


@router.put("/{credential_id}")
@requires(Permission.CREDENTIAL_WRITE)
async def replace_credential(
    credential_id: UUID, body: CredentialReplacement, resources: Held, caller: Caller
) -> CredentialReply:
    """Put another secret in its place. Nodes that begin use it within 5 s; the old one cannot be had back."""
    row = await service.replace(resources, caller, credential_id, body)
    await audit(resources, caller, "credential.replace", "credential", row.id, **_facts(row))
    return await _reply(resources, caller, row)


@router.patch("/{credential_id}")
@requires(Permission.CREDENTIAL_WRITE)
async def change_credential(
    credential_id: UUID, body: CredentialChanges, resources: Held, caller: Caller
) -> CredentialReply:
    """Change the description, and who may use it. Workflows that are published keep the rights they were published
    with."""
    row = await service.change(resources, caller, credential_id, body)
    await audit(resources, caller, "credential.change", "credential", row.id, **_facts(row))
    return await _reply(resources, caller, row)


@router.delete("/{credential_id}", status_code=204)
@requires(Permission.CREDENTIAL_WRITE)
async def delete_credential(credential_id: UUID, resources: Held, caller: Caller, force: Force = False) -> None:
    """Delete it; nodes that name it fail within 5 s. 409 while published workflows or AI models name it."""
    row = await service.delete(resources, caller, credential_id, force=force)
    await audit(resources, caller, "credential.delete", "credential", row.id, name=row.name, forced=force)


def _facts(row: Credential) -> dict[str, object]:
    facts = {"name": row.name, "type": row.type, "version": row.version, "allowed_hosts": row.allowed_hosts}
    return {**facts, "for_all_members": row.for_all_members, "users": [str(user) for user in row.users]}


async def _reply(resources: Held, caller: Caller, row: Credential) -> CredentialReply:
    return _shown(row, (await service.uses_of(resources, caller, [row])).get(row.name))


def _shown(row: Credential, uses: Uses | None) -> CredentialReply:
    shown = None if uses is None else _uses(uses)
    return CredentialReply(**row.model_dump(exclude={"key_id", "wrapped_key", "ciphertext", "tenant_id"}), uses=shown)


def _uses(uses: Uses) -> UsesReply:
    workflows = [WorkflowUseReply.model_validate(use, from_attributes=True) for use in uses.workflows]
    return UsesReply(workflows=workflows, ai_models=uses.models)
