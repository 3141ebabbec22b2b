"""What the routes of sharing links do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from api.audit import audit
from api.auth import Identity
from api.people import person_of
from api.resources import Resources
from api.shares.schemas import NewShareReply, ShareReply, ShareRequest
from engine.errors import Issue, ValidationFailed
from models.jsonb import plain_text
from models.repositories.shares import Shares
from models.roles import Role
from models.tables import ShareLink


async def create_share(resources: Resources, caller: Identity, workflow_id: UUID, given: ShareRequest) -> NewShareReply:
    """Raises: ValidationFailed if it would last too long or not at all; NotFound."""
    _check_expiry(given.expires_at, timedelta(days=resources.settings.shares.max_days))
    note, role = plain_text(given.note) or "", Role(given.role)
    shares, by = Shares(resources.database), person_of(caller).id
    link, token = await shares.create(caller.tenant, workflow_id, role, given.expires_at, note=note, by=by)
    facts = {"share": str(link.id), "role": role.value, "expires_at": link.expires_at.isoformat()}
    await audit(resources, caller, "share.create", "workflow", workflow_id, **facts)
    return NewShareReply(**_members(link), token=token)


async def revoke_share(resources: Resources, caller: Identity, workflow_id: UUID, share_id: UUID) -> None:
    """Raises: NotFound."""
    link = await Shares(resources.database).revoke(caller.tenant, workflow_id, share_id)
    await audit(resources, caller, "share.revoke", "workflow", workflow_id, share=str(share_id), uses=link.uses)


def reply_of(link: ShareLink) -> ShareReply:
    """A link without its token."""
    return ShareReply(**_members(link))


def _members(link: ShareLink) -> dict[str, Any]:
    return {name: getattr(link, name) for name in ShareReply.model_fields}


def _check_expiry(expires_at: datetime, longest: timedelta) -> None:
    ahead = expires_at - datetime.now(UTC)
    if ahead <= timedelta(0) or ahead > longest:
        reason = f"must be in the future, and within {longest.total_seconds() / 86_400:g} days"
        raise ValidationFailed([Issue("INVALID_VALUE", "body.expires_at", reason)], "the request is not valid")
