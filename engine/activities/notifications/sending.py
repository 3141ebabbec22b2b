"""The two ways that a notification takes: mail and webhooks, each with one id however often it is tried."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from typing import Any

from engine.activities.notifications.texts import mail_text, webhook_body
from engine.activities.runtime import Runtime
from engine.contracts import NotificationInput
from engine.errors import ACCESS_DENIED, INVALID_CONFIG, NodeError
from engine.nodes.context import Credential
from engine.nodes.mailing.addresses import plain_addresses, read_addresses
from engine.nodes.mailing.message import Mail, compose, message_id_of
from engine.nodes.mailing.port import Envelope
from engine.nodes.outbound.answers import failure_of
from engine.nodes.outbound.redaction import Redaction
from engine.nodes.outbound.signing import Secrets, secrets_of
from engine.nodes.outbound.webhooks import delivery_id, signature_of, signing_key
from engine.nodes.ports import HttpRequest, required
from models.tables import Notification
from models.tenancy import TenantId

TIMEOUT_S = 30.0
_MAX_ANSWER_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class Sending:
    """One try of a message."""

    runtime: Runtime
    tenant: TenantId
    row: Notification
    request: NotificationInput

    @property
    def id(self) -> str:
        """What receivers tell a repeated delivery by: the same in every try and every round."""
        return f"notification:{self.row.id}"

    async def send(self, facts: Mapping[str, Any], template: Mapping[str, Any] | None) -> None:
        """Raises: NodeError, retryable where another try could help; SystemFault."""
        if self.row.via == "email":
            await self._mail(facts, template)
        else:
            await self._post(facts, template)

    async def _mail(self, facts: Mapping[str, Any], template: Mapping[str, Any] | None) -> None:
        credential = await self._credential(self.row.credential or self.request.smtp_credential)
        if credential is None:
            raise NodeError(
                f"no mail server is set: add the credential {self.request.smtp_credential!r} of type smtp",
                code=INVALID_CONFIG,
            )
        text = await mail_text(facts, template, self.runtime.evaluator)
        try:
            sender, to = _sender(credential), read_addresses(self.row.target, "to")
            mail = Mail(sender=sender, to=to, subject=text.subject, text=text.text, html=text.html)
            content = compose(mail, message_id_of(self.id, sender.domain), datetime.now(UTC))
        except ValueError as error:
            raise NodeError(str(error), code=INVALID_CONFIG) from None
        envelope = Envelope(
            credential=credential,
            sender=sender.addr_spec,
            recipients=plain_addresses(to),
            content=content,
            timeout_s=TIMEOUT_S,
            idempotent=True,
        )
        await required(self.runtime.ports.mail, "mail").send(envelope)

    async def _post(self, facts: Mapping[str, Any], template: Mapping[str, Any] | None) -> None:
        credential = await self._credential(self.row.credential or self.request.webhook_credential)
        message_id = delivery_id(self.id)
        body = await webhook_body(facts, message_id, template, self.runtime.evaluator)
        secrets = _secrets(credential, message_id, body)
        signed = {name.lower() for name, _ in secrets.headers}
        headers = [("webhook-id", message_id), ("content-type", "application/json")]
        headers += [] if "webhook-timestamp" in signed else [("webhook-timestamp", str(int(time.time())))]
        request = HttpRequest(
            method="POST",
            url=self.row.target,
            headers=headers,
            content=body,
            secret_headers=secrets.headers,
            secret_query=secrets.query,
            timeout_s=TIMEOUT_S,
            max_redirects=0,
            max_response_bytes=_MAX_ANSWER_BYTES,
            idempotent=True,
            allowed_hosts=None if credential is None else credential.get("allowed_hosts"),
        )
        redaction = Redaction(secrets.values)
        try:
            response = await required(self.runtime.ports.http, "HTTP client").send(request)
            if not 200 <= response.status < 300:
                raise failure_of(response, "POST")
        except NodeError as error:
            raise redaction.error(error) from None

    async def _credential(self, name: str) -> Credential | None:
        """The credential that a rule names, or the one for all where that is there.

        Raises: NodeError ACCESS_DENIED if a rule's own is not there.
        """
        try:
            return await self.runtime.credentials.get(self.tenant, name)
        except NodeError as error:
            if error.code != ACCESS_DENIED or self.row.credential is not None:
                raise
            return None


def _sender(credential: Credential) -> Address:
    username = credential.get("username", "")
    text = credential.get("from_address") or (username if "@" in username else "")
    if not text:
        raise ValueError("the sender is not known: give the credential a from_address")
    senders = read_addresses(text, "from_address")
    if len(senders) != 1:
        raise ValueError("from_address: a message has one sender")
    return senders[0]


def _secrets(credential: Credential | None, message_id: str, body: bytes) -> Secrets:
    """As the node `webhook_send` signs."""
    if credential is None or credential["type"] != "hmac":
        return secrets_of(credential)
    secret, now_s = credential.get("secret", ""), int(time.time())
    signature = signature_of(signing_key(secret), message_id, now_s, body)
    headers = [("webhook-timestamp", str(now_s)), ("webhook-signature", signature)]
    return Secrets(headers, values=[secret, signature])
