"""Routes of notifications. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from typing import Literal

from structforge.client.calls import Call, Id, call, listing, part
from structforge.client.models.notifications import NotificationReply, NotificationRuleReply, NotificationTemplate
from structforge.client.shapes import Page
from structforge.client.unset import UNSET, Unset


class NotificationsRoutes:
    """Routes of notifications."""

    @listing
    def list_notification_rules(
        self,
        *,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Call[Page[NotificationRuleReply]]:
        """The tenant's rules, newest first."""
        return Call(
            "GET",
            "/api/v1/notification-rules",
            Page[NotificationRuleReply],
            params={"cursor": cursor, "limit": limit},
        )

    @call
    def create_notification_rule(
        self,
        name: str,
        on: list[Literal["failed", "succeeded", "cancelled", "timed_out", "waiting", "quota_near"]],
        via: Literal["email", "webhook"],
        *,
        workflow_id: Id | Unset | None = UNSET,
        tag: str | Unset | None = UNSET,
        to: list[str] | Unset = UNSET,
        url: str | Unset | None = UNSET,
        credential: str | Unset | None = UNSET,
        template: NotificationTemplate | Unset | None = UNSET,
        include_output: bool | Unset = UNSET,
        enabled: bool | Unset = UNSET,
    ) -> Call[NotificationRuleReply]:
        """Have somebody told of events. 409 if the name is taken, 422 if the template knows no such name."""
        return Call(
            "POST",
            "/api/v1/notification-rules",
            NotificationRuleReply,
            body={
                "name": name,
                "on": on,
                "workflow_id": workflow_id,
                "tag": tag,
                "via": via,
                "to": to,
                "url": url,
                "credential": credential,
                "template": template,
                "include_output": include_output,
                "enabled": enabled,
            },
        )

    @call
    def get_notification_rule(self, rule_id: Id) -> Call[NotificationRuleReply]:
        """One rule."""
        return Call("GET", f"/api/v1/notification-rules/{part(rule_id)}", NotificationRuleReply)

    @call
    def replace_notification_rule(
        self,
        rule_id: Id,
        name: str,
        on: list[Literal["failed", "succeeded", "cancelled", "timed_out", "waiting", "quota_near"]],
        via: Literal["email", "webhook"],
        *,
        workflow_id: Id | Unset | None = UNSET,
        tag: str | Unset | None = UNSET,
        to: list[str] | Unset = UNSET,
        url: str | Unset | None = UNSET,
        credential: str | Unset | None = UNSET,
        template: NotificationTemplate | Unset | None = UNSET,
        include_output: bool | Unset = UNSET,
        enabled: bool | Unset = UNSET,
    ) -> Call[NotificationRuleReply]:
        """Put another rule in its place; messages that are on their way stay as they are."""
        return Call(
            "PUT",
            f"/api/v1/notification-rules/{part(rule_id)}",
            NotificationRuleReply,
            body={
                "name": name,
                "on": on,
                "workflow_id": workflow_id,
                "tag": tag,
                "via": via,
                "to": to,
                "url": url,
                "credential": credential,
                "template": template,
                "include_output": include_output,
                "enabled": enabled,
            },
        )

    @call
    def delete_notification_rule(self, rule_id: Id) -> Call[None]:
        """Remove a rule; what it has sent stays on record."""
        return Call("DELETE", f"/api/v1/notification-rules/{part(rule_id)}", type(None))

    @listing
    def list_notifications(
        self,
        *,
        status: list[Literal["pending", "sending", "sent", "dead"]] | None = None,
        execution: Id | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Call[Page[NotificationReply]]:
        """Messages about workflows that the caller may see, newest first."""
        return Call(
            "GET",
            "/api/v1/notifications",
            Page[NotificationReply],
            params={"status": status, "execution": execution, "cursor": cursor, "limit": limit},
        )

    @call
    def get_notification(self, notification_id: Id) -> Call[NotificationReply]:
        """One message."""
        return Call("GET", f"/api/v1/notifications/{part(notification_id)}", NotificationReply)

    @call
    def resend_notification(self, notification_id: Id) -> Call[NotificationReply]:
        """Send a message again that was sent or given up, under the same id. 409 while it is on its way."""
        return Call("POST", f"/api/v1/notifications/{part(notification_id)}/resend", NotificationReply)
