"""Who is told of what: handlers of the outbox, which write a message for each receiver and have it sent.

Each handler may see an event twice, and each may die half way. The row of a message is one for the event and receiver,
and the Temporal workflow that sends it is one for the row, so that doing all of it again adds nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast
from uuid import UUID

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from engine.activities.events.dispatching import Handler
from engine.activities.launching import RPC_TIMEOUT, TemporalLink, translated_rpc_faults
from engine.activities.notifications import facts
from engine.activities.notifications.facts import EVENTS
from engine.contracts import ATTRIBUTE_TENANT, NOTIFICATION_WORKFLOW, NotificationInput
from engine.errors import NotFound
from engine.settings import Settings
from models.repositories.approvals import OPENED, Approvals
from models.repositories.notification_rules import NotificationRules
from models.repositories.notifications import RESEND, Draft, Notifications
from models.repositories.outbox import FINISHED
from models.session import Database
from models.tables import Approval, Notification, NotificationRule, Outbox
from models.tenancy import TenantId, mint_tenant

QUOTA_NEAR = "quota.near"
APPROVERS = "approvers"  # stands for the addresses of those who may decide
MAX_RECEIVERS = 200
_TENANT = SearchAttributeKey.for_keyword(ATTRIBUTE_TENANT)


@dataclass(slots=True)
class Notifier:
    """Handlers of the messages that people may want to hear of."""

    database: Database
    temporal: TemporalLink
    settings: Settings

    def handlers(self) -> Mapping[str, Sequence[Handler]]:
        """By kind of message, as the dispatcher takes them."""
        return {
            FINISHED: [self.tell_of_end],
            OPENED: [self.tell_of_approval],
            QUOTA_NEAR: [self.tell_of_quota],
            RESEND: [self.send_again],
        }

    async def tell_of_end(self, message: Outbox) -> None:
        """Raises: SystemFault."""
        tenant, event = mint_tenant(message.tenant_id), EVENTS.get(str(message.payload.get("status")))
        if event is None:
            return
        ended = await self._rows.execution(tenant, UUID(message.payload["execution_id"]))
        if ended is None:
            return  # deleted meanwhile
        told = facts.of_end(event, ended, message.created_at, self._base_url)
        about = Draft(event, "", "", told, workflow_id=ended.workflow_id, execution_id=ended.id)
        await self._tell(tenant, message, about, ended.tags, ended.listed, ())

    async def tell_of_approval(self, message: Outbox) -> None:
        """Raises: SystemFault."""
        tenant = mint_tenant(message.tenant_id)
        try:
            row = await Approvals(self.database).get(tenant, UUID(message.payload["approval_id"]))
        except NotFound:
            return
        if row.status != "open":
            return  # nobody needs to come any more
        asking = await self._rows.execution(tenant, row.execution_id)
        told = facts.of_approval(row, asking, message.created_at, self._base_url)
        about = Draft(
            "waiting", "", "", told, workflow_id=row.workflow_id, execution_id=row.execution_id, approval_id=row.id
        )
        tags, listed = ([], []) if asking is None else (asking.tags, asking.listed)
        await self._tell(tenant, message, about, tags, listed, await self._asked(tenant, row))

    async def tell_of_quota(self, message: Outbox) -> None:
        """Raises: SystemFault."""
        about = Draft("quota_near", "", "", facts.of_quota(message, self._base_url))
        await self._tell(mint_tenant(message.tenant_id), message, about, [], [], ())

    async def send_again(self, message: Outbox) -> None:
        """A person wants another round. Raises: SystemFault."""
        tenant = mint_tenant(message.tenant_id)
        try:
            row = await self._rows.get(tenant, UUID(message.payload["notification_id"]))
        except NotFound:
            return
        if row.round == message.payload["round"]:
            await self._send(tenant, row)

    async def _tell(
        self,
        tenant: TenantId,
        message: Outbox,
        about: Draft,
        tags: list[str],
        listed: Sequence[Mapping[str, Any]],
        approvers: Sequence[str],
    ) -> None:
        rules = await NotificationRules(self.database).matching(tenant, about.event, about.workflow_id, tags)
        drafts = [*_by_rules(about, rules, approvers), *_by_document(about, listed, approvers)]
        once = list({one.target: one for one in reversed(drafts)}.values())[::-1]  # the first of each target stays
        if once:
            for row in await self._rows.add(tenant, message.id, once[:MAX_RECEIVERS]):
                await self._send(tenant, row)

    async def _send(self, tenant: TenantId, row: Notification) -> None:
        """Start the Temporal workflow that sends the message. Repeating it changes nothing."""
        options = self.settings.notifications
        request = NotificationInput(
            tenant=str(tenant),
            notification_id=str(row.id),
            round=row.round,
            max_attempts=options.max_attempts,
            first_retry_s=options.first_retry_s,
            smtp_credential=options.smtp_credential,
            webhook_credential=options.webhook_credential,
        )
        client = await self.temporal.client()
        with translated_rpc_faults():
            try:
                await client.start_workflow(
                    NOTIFICATION_WORKFLOW,
                    request,
                    id=f"{tenant}:notification:{row.id}:{row.round}",
                    task_queue=self.settings.worker.task_queue,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    search_attributes=TypedSearchAttributes([SearchAttributePair(_TENANT, str(tenant))]),
                    static_summary=f"{row.event} by {row.via}",
                    rpc_timeout=RPC_TIMEOUT,
                )
            except WorkflowAlreadyStartedError:
                return

    async def _asked(self, tenant: TenantId, row: Approval) -> list[str]:
        people = await Approvals(self.database).people_asked(tenant, row)
        return [address for address in people if row.allow_self or address != row.started_by]

    @property
    def _rows(self) -> Notifications:
        return Notifications(self.database)

    @property
    def _base_url(self) -> str:
        return self.settings.api.base_url


def _by_rules(about: Draft, rules: Iterable[NotificationRule], approvers: Sequence[str]) -> Iterable[Draft]:
    for rule in rules:
        for target in _expanded(rule.targets, approvers):
            yield replace(
                about,
                via=rule.via,
                target=target,
                rule_id=rule.id,
                template=rule.template,
                credential=rule.credential,
                include_output=rule.include_output,
            )


def _by_document(about: Draft, listed: Sequence[Mapping[str, Any]], approvers: Sequence[str]) -> Iterable[Draft]:
    """What `settings.notifications` of the version that ran says."""
    for one in listed:
        if about.event in one.get("on", ()):
            via, url = one.get("via"), one.get("url")
            to = cast("list[str]", one.get("to") or [])
            targets = ([url] if url else []) if via == "webhook" else _expanded(to, approvers)
            for target in targets:
                yield replace(about, via=str(via), target=str(target))


def _expanded(targets: Sequence[str], approvers: Sequence[str]) -> Iterable[str]:
    for target in targets:
        yield from approvers if target == APPROVERS else (target,)
