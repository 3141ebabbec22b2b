"""Notifications: rules checked before they are kept, and what people may see of messages."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from api.auth import Identity
from api.credential_access import need_credential
from api.notifications.schemas import NotificationReply, NotificationRuleReply, NotificationRuleRequest
from api.people import person_of
from api.resources import Resources
from api.workflow_access import need_role, sees_everything
from engine.activities.notifications.facts import NAMES
from engine.errors import Issue, NotFound, ValidationFailed
from engine.expressions.names import SCOPE_NAMES
from models.repositories.notification_rules import NotificationRules, RuleText
from models.repositories.notifications import Notifications
from models.repositories.workflows import Workflows
from models.roles import Role
from models.tables import Notification, NotificationRule


async def create_rule(resources: Resources, caller: Identity, body: NotificationRuleRequest) -> NotificationRule:
    """Raises: ValidationFailed; NotFound if there is no such workflow; AccessDenied; Conflict."""
    text = await _checked(resources, caller, body)
    return await NotificationRules(resources.database).create(caller.tenant, text, by=person_of(caller).id)


async def replace_rule(
    resources: Resources, caller: Identity, rule_id: UUID, body: NotificationRuleRequest
) -> NotificationRule:
    """Raises: ValidationFailed; NotFound; AccessDenied; Conflict."""
    rules = NotificationRules(resources.database)
    await rules.get(caller.tenant, rule_id)
    return await rules.replace(caller.tenant, rule_id, await _checked(resources, caller, body))


async def _checked(resources: Resources, caller: Identity, body: NotificationRuleRequest) -> RuleText:
    template = None if body.template is None else body.template.model_dump(exclude_none=True)
    _check_template(resources, template)
    if body.workflow_id is not None:
        await Workflows(resources.database).get(caller.tenant, body.workflow_id)
    if body.credential is not None:
        await need_credential(resources, caller, [body.credential])
    return RuleText(
        name=body.name,
        events=list(body.on),
        via=body.via,
        targets=[body.url] if body.url is not None else body.to,
        workflow_id=body.workflow_id,
        tag=body.tag,
        credential=body.credential,
        template=template or None,
        include_output=body.include_output,
        enabled=body.enabled,
    )


def _check_template(resources: Resources, template: dict[str, Any] | None) -> None:
    """By reading alone: nothing is evaluated in this process. Raises: ValidationFailed."""
    found = resources.parser.parse(template or {}, "template", extra_names=tuple(sorted(NAMES)))
    issues = list(found.issues)
    for name in sorted(SCOPE_NAMES.intersection(found.names) - NAMES):
        hint = f"a notification knows {', '.join(sorted(NAMES))}"
        issues.append(Issue("UNKNOWN_NAME", "template", f"there is no {name} in a notification", hint))
    if issues:
        raise ValidationFailed(issues, "the template is not valid")


def rule_reply(row: NotificationRule) -> NotificationRuleReply:
    is_webhook = row.via == "webhook"
    same = ("on", "to", "url")
    members = {name: getattr(row, name) for name in NotificationRuleReply.model_fields if name not in same}
    return NotificationRuleReply(
        **members,
        on=row.events,
        to=[] if is_webhook else row.targets,
        url=row.targets[0] if is_webhook else None,
    )


async def seen(resources: Resources, caller: Identity, notification_id: UUID) -> Notification:
    """A message that the caller may see: one about a workflow that it may. Raises: NotFound."""
    row = await Notifications(resources.database).get(caller.tenant, notification_id)
    if not sees_everything(caller):
        if row.workflow_id is None:
            raise NotFound("there is no such notification")
        await need_role(resources, caller, row.workflow_id, Role.VIEWER)
    return row


def reply_of(row: Notification) -> NotificationReply:
    shown = _shown_target(row)
    error = row.error or {}
    message = error.get("message")
    members = {
        name: getattr(row, name)
        for name in NotificationReply.model_fields
        if name not in ("target", "error", "error_code")
    }
    return NotificationReply(
        **members,
        target=shown,
        error=None if message is None else str(message).replace(row.target, shown)[:2000],
        error_code=error.get("code"),
    )


def _shown_target(row: Notification) -> str:
    if row.via != "webhook":
        return row.target
    parts = urlsplit(row.target)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/…"
