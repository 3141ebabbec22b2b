"""Between the forms of quotas that people read and those of the record."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from api.quotas.schemas import QuotaReply, QuotaUsage
from models.repositories.quotas import Usage
from models.tables import Quota


def subject_of(scope: str, person: str | None, workflow_id: UUID | None) -> str:
    """The subject as the record names it; persons are named in small letters."""
    if scope == "user" and person is not None:
        return f"user:{person.strip().lower()}"
    if scope == "workflow" and workflow_id is not None:
        return f"workflow:{workflow_id}"
    return scope


def reply_of(rule: Quota) -> QuotaReply:
    return QuotaReply(**_members(rule, rule.subject), updated_at=rule.updated_at)


def usage_of(usage: Usage) -> QuotaUsage:
    return QuotaUsage(**_members(usage.rule, usage.subject), used=usage.used, frees_at=usage.frees_at)


def _members(rule: Quota, subject: str) -> dict[str, Any]:
    scope, _, name = subject.partition(":")
    return {
        "kind": rule.kind,
        "scope": scope,
        "person": name if scope == "user" and name else None,
        "workflow_id": UUID(name) if scope == "workflow" and name else None,
        "period": rule.period or None,
        "limit": rule.amount,
    }
