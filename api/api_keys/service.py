"""API keys: none is stronger than whoever makes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from api.api_keys.schemas import KeyReply, KeyRequest, NewKeyReply, ScopeReply
from api.audit import audit
from api.auth import Identity
from api.permissions import ADMIN_ONLY, Permission
from api.resources import Resources
from api.users.service import need_full_admin
from engine.errors import AccessDenied, Issue, NotFound, ValidationFailed
from models.repositories.api_keys import ApiKeys
from models.repositories.records import Page
from models.tables import ApiKey

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SCOPES = [one for one in Permission if one is not Permission.PUBLIC]
_KNOWN = {"*", *(one.value for one in _SCOPES), *(f"{one.partition(':')[0]}:*" for one in _SCOPES)}


def scopes() -> list[ScopeReply]:
    """Every scope of one action. `resource:*` and `*` stand for several."""
    return [ScopeReply(scope=one.value, administrators_only=one in ADMIN_ONLY) for one in _SCOPES]


async def create(resources: Resources, caller: Identity, given: KeyRequest) -> NewKeyReply:
    """Raises: ValidationFailed; AccessDenied if the key would be stronger than the caller."""
    _check_scopes(given.scopes)
    _check_covered(caller, given.scopes)
    await _check_end(resources, caller, given.expires_at)
    user_id = _owner(caller, given)
    if user_id is None:
        _check_name(given.name)
    row, secret = await ApiKeys(resources.database).create(
        caller.tenant, given.name, scopes=given.scopes, expires_at=given.expires_at, user_id=user_id
    )
    await audit(resources, caller, "api_key.create", "api_key", row.id, name=row.name, scopes=row.scopes)
    return NewKeyReply(**reply_of(row).model_dump(), key=secret)


async def page(
    resources: Resources, caller: Identity, *, user_id: UUID | None, before: UUID | None, limit: int
) -> Page[ApiKey]:
    """The keys that the caller may see: a member's own, all for an administrator and for a key of nobody."""
    if not _sees_all(caller):
        if user_id not in (None, caller.user_id):
            return Page([])
        user_id = caller.user_id
    return await ApiKeys(resources.database).page(caller.tenant, user_id=user_id, before=before, limit=limit)


async def get(resources: Resources, caller: Identity, key_id: UUID) -> ApiKey:
    """Raises: NotFound, also for what the caller may not see."""
    row = await ApiKeys(resources.database).get(caller.tenant, key_id)
    if not _sees_all(caller) and row.user_id != caller.user_id:
        raise NotFound(f"no API key {key_id}")
    return row


async def rotate(resources: Resources, caller: Identity, key_id: UUID) -> NewKeyReply:
    """A new secret for a key of the caller's own, or for one of nobody. Raises: NotFound; AccessDenied."""
    row = await get(resources, caller, key_id)
    if row.user_id != caller.user_id:
        if row.user_id is not None:
            raise AccessDenied("only the person whose key it is gets its secret")
        need_full_admin(caller)
    _check_covered(caller, row.scopes)
    if row.id != caller.key_id:
        await _check_end(resources, caller, row.expires_at)
    row, secret = await ApiKeys(resources.database).rotate(caller.tenant, key_id)
    resources.sign_in.forget()
    await audit(resources, caller, "api_key.rotate", "api_key", key_id, name=row.name)
    return NewKeyReply(**reply_of(row).model_dump(), key=secret)


async def revoke(resources: Resources, caller: Identity, key_id: UUID) -> None:
    """Raises: NotFound; AccessDenied for a key of somebody else."""
    row = await get(resources, caller, key_id)
    if row.user_id != caller.user_id:
        need_full_admin(caller)
    await ApiKeys(resources.database).revoke(caller.tenant, key_id)
    resources.sign_in.forget()
    await audit(resources, caller, "api_key.revoke", "api_key", key_id, name=row.name)


def reply_of(row: ApiKey) -> KeyReply:
    return KeyReply(**{name: getattr(row, name) for name in KeyReply.model_fields})


def _sees_all(caller: Identity) -> bool:
    return caller.user_id is None or caller.tenant_role == "admin"


def _check_scopes(given: Sequence[str]) -> None:
    issues = [
        Issue("INVALID_VALUE", f"scopes[{index}]", f"no such scope: {scope[:60]!r}", "see GET /api-keys/scopes")
        for index, scope in enumerate(given)
        if scope not in _KNOWN
    ]
    if issues:
        raise ValidationFailed(issues, "the request is not valid")


def _check_covered(caller: Identity, wanted: Sequence[str]) -> None:
    held = set(caller.scopes)
    for scope in wanted:
        if held.isdisjoint({"*", scope, f"{scope.partition(':')[0]}:*"}):
            raise AccessDenied(f"you lack the scope {scope} yourself", details={"scope": scope})


async def _check_end(resources: Resources, caller: Identity, expires_at: datetime | None) -> None:
    """A key outlives neither the key that makes it, nor its own making."""
    if expires_at is not None and expires_at <= datetime.now(UTC):
        issue = Issue("INVALID_VALUE", "expires_at", "lies in the past")
        raise ValidationFailed([issue], "the request is not valid")
    if caller.session_id is not None:
        return
    mine = (await ApiKeys(resources.database).get(caller.tenant, caller.key_id)).expires_at
    if mine is not None and (expires_at is None or expires_at > mine):
        raise AccessDenied("a key cannot outlive the key that makes it", details={"expires_at": mine.isoformat()})


def _owner(caller: Identity, given: KeyRequest) -> UUID | None:
    if given.belongs_to == "me" and caller.user_id is None:
        issue = Issue("INVALID_VALUE", "belongs_to", "the key that you show belongs to nobody")
        raise ValidationFailed([issue], "the request is not valid")
    if given.belongs_to == "nobody" and caller.user_id is not None:
        need_full_admin(caller)
        return None
    return caller.user_id


def _check_name(name: str) -> None:
    """Keys of nobody count by their names where people are asked, so none may be called like a person."""
    if "@" in name or _UUID.fullmatch(name.strip().lower()):
        issue = Issue("INVALID_VALUE", "name", "a key that belongs to nobody cannot be called like a person")
        raise ValidationFailed([issue], "the request is not valid")
