"""Real receivers of notifications on loopback: a web server and a mail server that keep what they are sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

from aiosmtpd.smtp import SMTP, Envelope, Session

from engine.activities.clients.objects import ObjectStore
from engine.activities.events.dispatching import Dispatcher
from engine.activities.launching import TemporalLink
from engine.activities.notifications.telling import Notifier
from engine.settings import Settings
from models.repositories.notifications import Notifications
from models.tables import Notification
from tests.engine.workflows.lab import Lab

SECRET = "canary-signing-secret"


@dataclass(slots=True)
class Receiver:
    """Keeps every call; answers what `statuses` say, then 200. `held` is set until calls may be answered."""

    port: int = 0
    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list[tuple[dict[str, str], bytes]])
    statuses: list[int] = field(default_factory=list[int])
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.calls]

    def body(self, number: int = 0) -> Any:
        return json.loads(self.calls[number][1])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.calls.append((headers, body))
            status = self.statuses.pop(0) if self.statuses else 200
            self.arrived.set()
            await self.may_answer.wait()
            writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def receiving(*statuses: int) -> AsyncGenerator[Receiver]:
    receiver = Receiver(statuses=list(statuses))
    receiver.may_answer.set()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        receiver.may_answer.set()
        server.close()


@dataclass(slots=True)
class Post:
    """Keeps mails; answers DATA with what `replies` say, then takes them, as soon as it may reply."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list[EmailMessage])
    recipients: list[str] = field(default_factory=list[str])
    replies: list[str] = field(default_factory=list[str])
    may_reply: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        reply = self.replies.pop(0) if self.replies else "250 taken"
        if reply.startswith("250"):
            content = cast("bytes", envelope.content)
            self.mails.append(message_from_bytes(content, policy=default))
            self.recipients += map(str, envelope.rcpt_tos)
        self.arrived.set()
        await self.may_reply.wait()
        return reply


@asynccontextmanager
async def mail_server(*replies: str) -> AsyncGenerator[Post]:
    post = Post(replies=list(replies))
    post.may_reply.set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(post, loop=loop, hostname="mx.example"), "127.0.0.1", 0)
    post.port = server.sockets[0].getsockname()[1]
    try:
        yield post
    finally:
        server.close()


def write_credentials(settings: Settings, post: Post | None = None) -> None:
    """The operator's file: one that signs, and the mail server if there is one."""
    lines = [f"signing: {{type: hmac, secret: {SECRET}, allowed_hosts: [127.0.0.1]}}"]
    if post is not None:
        lines.append(
            f"notifications-smtp: {{type: smtp, host: 127.0.0.1, port: {post.port}, security: none,"
            " from_address: robot@flows.example}"
        )
    settings.credentials_file.write_text("\n".join(lines) + "\n")
    settings.credentials_file.chmod(0o600)


def notifier_of(lab: Lab, **options: Any) -> Notifier:
    """Handlers that do not wait long between tries."""
    settings = lab.stack.settings.override({"notifications": {"first_retry_s": 0.05, "max_attempts": 3, **options}})
    settings = settings.override({"api": {"public_url": "https://flows.example/"}})
    assert settings.temporal.address is not None
    link = TemporalLink(settings.temporal.address, settings.temporal.namespace, ObjectStore.open(settings.objects_url))
    return Notifier(lab.stack.runtime.database, link, settings)


async def dispatch(lab: Lab, notifier: Notifier | None = None) -> None:
    """Hand everything in the outbox on."""
    await Dispatcher(lab.stack.runtime.database, (notifier or notifier_of(lab)).handlers()).run_once()


async def sent(lab: Lab, count: int = 1) -> list[Notification]:
    """The tenant's notifications once so many have come to an end, oldest first."""
    table = Notifications(lab.stack.runtime.database)

    async def ended() -> bool:
        return len((await table.list(lab.tenant, statuses=["sent", "dead"])).items) >= count

    await lab.eventually(ended, timeout_s=30)
    return (await table.list(lab.tenant, limit=200)).items[::-1]
