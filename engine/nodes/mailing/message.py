"""Messages: text, HTML and attachments as one MIME message in ASCII."""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any

from engine.nodes.binary import unwrap_bytes
from engine.nodes.json_text import dump_json
from engine.nodes.mailing.addresses import single_line

# Not every server takes 8 bits; and lines of any length would reach a limit of 998.
_POLICY = SMTP.clone(cte_type="7bit", raise_on_defect=False)
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,70}")
_KIND = re.compile(r"[a-z0-9][a-z0-9.+-]*/[a-z0-9][a-z0-9.+-]*")
_OURS = re.compile(
    r"(from|to|cc|bcc|reply-to|subject|date|message-id|mime-version|sender|return-path|received|content-.*|resent-.*|dkim-.*)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Attachment:
    """`content` is text, `{"base64": ...}`, or other data, which becomes JSON."""

    filename: str
    content: Any
    content_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """Everything of a message but the recipients that nobody sees."""

    sender: Address
    to: Sequence[Address]
    cc: Sequence[Address] = ()
    reply_to: Sequence[Address] = ()
    subject: str
    text: str | None
    html: str | None = None
    attachments: Sequence[Attachment] = ()
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


def message_id_of(idempotency_key: str, domain: str) -> str:
    """The same for every attempt of a node execution, so that who gets a message twice can tell."""
    return f"<{hashlib.sha256(idempotency_key.encode()).hexdigest()[:32]}@{domain}>"


def compose(mail: Mail, message_id: str, now: datetime) -> bytes:
    """The message with its headers; `now` is aware.

    Raises: ValueError for what would not be one header, or is no attachment.
    """
    message = EmailMessage(policy=_POLICY)
    message["From"] = mail.sender
    for name, addresses in (("To", mail.to), ("Cc", mail.cc), ("Reply-To", mail.reply_to)):
        if addresses:
            message[name] = list(addresses)
    message["Subject"] = single_line(mail.subject, "subject")
    message["Date"] = format_datetime(now)
    message["Message-ID"] = message_id
    for name, value in _more_headers(mail.headers).items():
        message[name] = value
    _fill(message, mail)
    return message.as_bytes()


def _more_headers(headers: Mapping[str, str]) -> dict[str, str]:
    # Keeps answering machines from answering.
    given = {"Auto-Submitted": "auto-generated"} if "auto-submitted" not in map(str.lower, headers) else {}
    for name, value in headers.items():
        check_header_name(name)
        given[name] = single_line(value, f"the header {name}")
    return given


def check_header_name(name: str) -> str:
    """Raises: ValueError for no header name, or a header that the message has already."""
    if _HEADER_NAME.fullmatch(name) is None:
        raise ValueError(f"{name[:60]!r} is no header name")
    if _OURS.fullmatch(name):
        raise ValueError(f"the header {name} is set by the node: leave it out")
    return name


def _fill(message: EmailMessage, mail: Mail) -> None:
    if mail.text is not None or mail.html is None:
        message.set_content(mail.text or "")
        if mail.html is not None:
            message.add_alternative(mail.html, subtype="html")
    else:
        message.set_content(mail.html, subtype="html")
    for attachment in mail.attachments:
        name = single_line(attachment.filename, "the filename of an attachment")
        data, kind = _encoded(attachment)
        main, _, sub = kind.partition("/")
        message.add_attachment(data, maintype=main, subtype=sub, filename=name.replace("/", "_").replace("\\", "_"))


def _encoded(attachment: Attachment) -> tuple[bytes, str]:
    content = attachment.content
    is_bytes = isinstance(content, dict) and set(content) == {"base64"}
    data = unwrap_bytes(content) if is_bytes or isinstance(content, str) else dump_json(content)
    guessed = mimetypes.guess_type(attachment.filename)[0]
    default = (
        "application/octet-stream" if is_bytes else "text/plain" if isinstance(content, str) else "application/json"
    )
    return data, check_content_type(attachment.content_type or guessed or default)


def check_content_type(kind: str) -> str:
    """Raises: ValueError for what is no content type, or one of a message within the message."""
    plain = kind.strip().lower()
    if _KIND.fullmatch(plain) is None or plain.startswith(("multipart/", "message/")):
        raise ValueError(f"{kind[:60]!r} is no content type of an attachment, such as text/csv")
    return plain
