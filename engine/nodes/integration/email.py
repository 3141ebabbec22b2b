"""Integration: one e-mail message."""

from __future__ import annotations

from datetime import UTC, datetime
from email.headerregistry import Address
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from engine.dag.durations import Duration
from engine.errors import INVALID_CONFIG, OUTPUT_TOO_LARGE, NodeError
from engine.nodes.base import Credential, NodeContext, NodeParams, NodeResult, ResultModel, node
from engine.nodes.mailing.addresses import plain_addresses, read_addresses, single_line
from engine.nodes.mailing.message import Attachment, Mail, check_content_type, check_header_name, compose, message_id_of
from engine.nodes.mailing.port import Envelope
from engine.nodes.param_issues import structure_error
from engine.nodes.ports import required

Addresses = str | list[str]
_MAX_RECIPIENTS = 500
_MAX_MESSAGE_BYTES = 50_000_000


class AttachmentParams(NodeParams):
    """A file of the message."""

    filename: str = Field(min_length=1, max_length=200, description="Name of the file")
    content: Any = Field(description='Text, {"base64": ...}, or other data, which becomes JSON')
    content_type: str | None = Field(default=None, description="Such as text/csv; by the name if left out")

    @field_validator("filename", mode="after")
    @classmethod
    def _one_line(cls, value: str) -> str:
        return single_line(value, "filename")

    @field_validator("content_type", mode="after")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        return None if value is None else check_content_type(value)


class EmailParams(NodeParams):
    """Send an e-mail by the SMTP server of a credential of type `smtp`.

    `body` is plain text and `html` its alternative; either may be left out. The server's certificate is checked;
    `security` of the credential says starttls (port 587, the default), tls (465) or none (25). Recipients whom the
    server refuses are in `refused`; if it takes none, the node fails. Replies 4xx and lost connections are worth
    another attempt, replies 5xx are not. If the connection breaks while the message is sent, the error is
    OUTCOME_UNKNOWN, for it may have arrived. The Message-ID is the same in every attempt of a node execution; many
    mailboxes show a message that comes twice once, but none promises to: `idempotent: true` says that this will do.
    """

    to: Addresses = Field(min_length=1, description="Recipients: ada@shop.example or Ada <ada@shop.example>, or a list")
    cc: Addresses | None = Field(default=None, description="Recipients of a copy")
    bcc: Addresses | None = Field(default=None, description="Recipients of a copy whom the others do not see")
    reply_to: Addresses | None = Field(default=None, description="Where answers go")
    from_address: str | None = Field(
        default=None, min_length=1, description="The sender; the credential's from_address or user name if left out"
    )
    subject: str = Field(default="", max_length=900, description="The subject, one line")
    body: str | None = Field(default=None, description="Plain text")
    html: str | None = Field(default=None, description="HTML")
    attachments: list[AttachmentParams] = Field(
        default_factory=list[AttachmentParams], max_length=50, description="Files: [{filename, content, content_type}]"
    )
    headers: dict[str, str] = Field(default_factory=dict[str, str], description="More headers, such as In-Reply-To")
    timeout: Duration = Field(
        default="30s",  # pyright: ignore[reportAssignmentType]  # read by the validator of Duration
        validate_default=True,
        description="For everything, from the connection to the server's answer",
    )
    idempotent: bool = Field(default=False, description="Whether the message may arrive twice")

    @field_validator("to", "cc", "bcc", "reply_to", "from_address", mode="after")
    @classmethod
    def _are_addresses(cls, value: Addresses | None, info: Any) -> Addresses | None:
        if value is not None:
            read_addresses(value, info.field_name)
        return value

    @field_validator("subject", mode="after")
    @classmethod
    def _one_line(cls, value: str) -> str:
        return single_line(value, "subject")

    @field_validator("headers", mode="after")
    @classmethod
    def _free(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            single_line(text, f"the header {check_header_name(name)}")
        return value

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if self.body is None and self.html is None:
            raise structure_error("an e-mail needs body or html")
        return self


class Refused(ResultModel):
    address: str = Field(description="The recipient")
    code: int = Field(description="The server's reply, such as 550")
    message: str = Field(description="Its text")


class EmailResult(ResultModel):
    message_id: str = Field(description="The header Message-ID")
    accepted: list[str] = Field(description="Recipients whom the server took")
    refused: list[Refused] = Field(description="Recipients whom it did not take")


@node(
    "email",
    category="integration",
    kind="io",
    name="Send e-mail",
    icon="mail",
    idempotent=lambda params: params.get("idempotent") is True,
    result=EmailResult,
    examples=[
        {
            "title": "Tell a person",
            "params": {
                "to": "Ada <ada@shop.example>",
                "subject": "Order {{ input.order_id }} is on its way",
                "body": "Thank you, {{ input.name }}.",
                "html": "<p>Thank you, <b>{{ input.name }}</b>.</p>",
            },
        },
        {
            "title": "Send a table to several, with copies",
            "params": {
                "to": ["ops@shop.example", "sales@shop.example"],
                "bcc": "archive@shop.example",
                "reply_to": "help@shop.example",
                "subject": "The week in numbers",
                "body": "See the table.",
                "attachments": [
                    {"filename": "week.csv", "content": "{{ nodes.table.output.content }}", "content_type": "text/csv"}
                ],
            },
        },
    ],
)
async def email(params: EmailParams, context: NodeContext) -> NodeResult:
    credential = context.credential
    if credential is None:
        raise NodeError("an e-mail node needs a credential of type smtp", code=INVALID_CONFIG)
    try:
        sender = _sender(params, credential)
        groups = [read_addresses(group or [], name) for name, group in _groups(params)]
        message_id = message_id_of(context.idempotency_key, sender.domain)
        content = compose(_mail(params, sender, groups), message_id, datetime.now(UTC))
    except ValueError as error:
        raise NodeError(str(error), code=INVALID_CONFIG) from None
    recipients = plain_addresses(address for group in groups[:3] for address in group)
    _check_size(content, recipients)
    envelope = Envelope(
        credential=credential,
        sender=sender.addr_spec,
        recipients=recipients,
        content=content,
        timeout_s=min(params.timeout.total_seconds(), context.own_deadline_s),
        idempotent=params.idempotent,
    )
    receipt = await required(context.ports.mail, "mail").send(envelope)
    context.log("debug", "the server took the message", accepted=len(receipt.accepted), refused=len(receipt.refused))
    refused = [{"address": item.address, "code": item.code, "message": item.message} for item in receipt.refused]
    return NodeResult({"message_id": message_id, "accepted": receipt.accepted, "refused": refused})


def _groups(params: EmailParams) -> list[tuple[str, Addresses | None]]:
    return [("to", params.to), ("cc", params.cc), ("bcc", params.bcc), ("reply_to", params.reply_to)]


def _sender(params: EmailParams, credential: Credential) -> Address:
    username = credential.get("username", "")
    text = params.from_address or credential.get("from_address") or (username if "@" in username else "")
    if not text:
        raise ValueError("the sender is not known: give from_address, here or in the credential")
    senders = read_addresses(text, "from_address")
    if len(senders) != 1:
        raise ValueError("from_address: a message has one sender")
    return senders[0]


def _mail(params: EmailParams, sender: Address, groups: list[list[Address]]) -> Mail:
    to, cc, _, reply_to = groups
    return Mail(
        sender=sender,
        to=to,
        cc=cc,
        reply_to=reply_to,
        subject=params.subject,
        text=params.body,
        html=params.html,
        attachments=[Attachment(item.filename, item.content, item.content_type) for item in params.attachments],
        headers=params.headers,
    )


def _check_size(content: bytes, recipients: list[str]) -> None:
    if len(recipients) > _MAX_RECIPIENTS:
        raise NodeError(f"a message goes to at most {_MAX_RECIPIENTS} recipients", code=INVALID_CONFIG)
    if len(content) > _MAX_MESSAGE_BYTES:
        raise NodeError(
            f"the message is over {_MAX_MESSAGE_BYTES} bytes: send a link",
            code=OUTPUT_TOO_LARGE,
            details={"max_bytes": _MAX_MESSAGE_BYTES},
        )
