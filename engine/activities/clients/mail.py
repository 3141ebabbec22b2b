"""Mail servers that workflows send by: SMTP with STARTTLS or TLS, certificates checked.

Each message has a connection of its own. Commands are sent one by one, so that it is known how far a message came when
a connection breaks.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import aiosmtplib

from engine.errors import (
    ACCESS_DENIED,
    EXTERNAL_ERROR,
    INVALID_CONFIG,
    OUTCOME_UNKNOWN,
    OUTPUT_TOO_LARGE,
    TIMEOUT,
    NodeError,
)
from engine.nodes.context import Credential
from engine.nodes.mailing.port import Envelope, Receipt, Refusal
from engine.nodes.outbound.addresses import HttpPolicy
from engine.nodes.outbound.connections import permitted_address, tls_context
from engine.nodes.outbound.redaction import Redaction

_PORTS: Mapping[str, int] = {"starttls": 587, "tls": 465, "none": 25}
_SHOWN_CHARS = 300
_QUIT_WITHIN_S = 1.0
TlsFactory = Callable[[str], ssl.SSLContext]


@dataclass(slots=True)
class _Progress:
    content_sent: bool = False


class MailServers:
    """Fulfils `engine.nodes.mailing.port.MailPort`; at most `most` messages are on their way at once.

    `policy` says which internal addresses a credential that is not trusted may reach; `tls` makes the settings by which
    a server of that name is checked.
    """

    def __init__(self, policy: HttpPolicy, *, tls: TlsFactory = tls_context, most: int = 20) -> None:
        self._policy, self._tls = policy, tls
        self._slots = asyncio.Semaphore(most)

    async def send(self, envelope: Envelope) -> Receipt:
        credential, progress = envelope.credential, _Progress()
        redaction = Redaction([credential.get("password", "")])
        try:
            async with asyncio.timeout(envelope.timeout_s), self._slots:
                return await self._send(envelope, progress)
        except NodeError as error:
            raise redaction.error(error) from None
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise redaction.error(_translate(error, envelope, progress)) from None

    async def _send(self, envelope: Envelope, progress: _Progress) -> Receipt:
        client = await self._open(envelope.credential, envelope.timeout_s)
        try:
            await self._sign_in(client, envelope.credential)
            receipt = await _deliver(client, envelope, progress)
            with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):  # the message is taken, whatever comes now
                await client.quit(timeout=_QUIT_WITHIN_S)
            return receipt
        finally:
            client.close()

    async def _open(self, credential: Credential, timeout_s: float) -> aiosmtplib.SMTP:
        if credential["type"] != "smtp" or not credential.get("host"):
            kind = credential["type"]
            raise NodeError(f"a credential of type {kind} sends no mail: use smtp with a host", code=INVALID_CONFIG)
        security, host = credential.get("security", "starttls"), credential.get("host", "")
        if security not in _PORTS:
            raise NodeError("security of the credential must be starttls, tls or none", code=INVALID_CONFIG)
        port = credential.get("port") or _PORTS[security]
        client = aiosmtplib.SMTP(
            hostname=await permitted_address(credential, host, port, self._policy),
            port=port,
            local_hostname=socket.gethostname() or "localhost",
            timeout=timeout_s,
            use_tls=security == "tls",
            start_tls=False,
            tls_context=self._tls(host) if security == "tls" else None,
        )
        await client.connect()
        try:
            await client.ehlo()
            if security == "starttls":
                await self._start_tls(client, host)
        except BaseException:
            client.close()
            raise
        return client

    async def _start_tls(self, client: aiosmtplib.SMTP, host: str) -> None:
        # Whoever sits in between could take the offer away: without TLS nothing is said.
        if not client.supports_extension("starttls"):
            raise NodeError(f"{host} offers no TLS: nothing was sent", code=EXTERNAL_ERROR, details={"host": host})
        await client.starttls(server_hostname=host, tls_context=self._tls(host))
        await client.ehlo()

    async def _sign_in(self, client: aiosmtplib.SMTP, credential: Credential) -> None:
        username, password = credential.get("username"), credential.get("password")
        if not username or not password:
            return
        host = credential.get("host", "")
        if not client.supports_extension("auth"):
            raise NodeError(f"{host} offers no sign-in", code=ACCESS_DENIED, details={"host": host})
        await client.login(username, password)


async def _deliver(client: aiosmtplib.SMTP, envelope: Envelope, progress: _Progress) -> Receipt:
    size = len(envelope.content)
    limit = client.esmtp_extensions.get("size", "")
    if limit.isdecimal() and 0 < int(limit) < size:
        raise NodeError(
            f"the message of {size} bytes is over the server's limit of {limit}",
            code=OUTPUT_TOO_LARGE,
            details={"bytes": size, "max_bytes": int(limit)},
        )
    await client.mail(envelope.sender, options=[f"size={size}"] if client.supports_extension("size") else None)
    accepted: list[str] = []
    refused: list[Refusal] = []
    for recipient in envelope.recipients:
        try:
            await client.rcpt(recipient)
            accepted.append(recipient)
        except aiosmtplib.SMTPRecipientRefused as error:
            refused.append(Refusal(recipient, error.code, error.message[:_SHOWN_CHARS]))
    if not accepted:
        raise _all_refused(refused)
    progress.content_sent = True
    await client.data(envelope.content)
    return Receipt(accepted, refused)


def _all_refused(refused: list[Refusal]) -> NodeError:
    shown = [{"address": item.address, "code": item.code, "message": item.message} for item in refused[:50]]
    return NodeError(
        f"the server took no recipient: {refused[0].code} {refused[0].message}",
        code=EXTERNAL_ERROR,
        details={"refused": shown},
        retryable=any(400 <= item.code < 500 for item in refused),
    )


def _translate(error: Exception, envelope: Envelope, progress: _Progress) -> NodeError:
    host = envelope.credential.get("host", "")
    if isinstance(error, aiosmtplib.SMTPAuthenticationError) and error.code >= 500:
        message = f"{host} refused the user name or the password: {error.code} {error.message[:_SHOWN_CHARS]}"
        return NodeError(message, code=ACCESS_DENIED, details={"host": host, "reply": error.code})
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return _refused_by_reply(error, host)
    reason = str(error)[:_SHOWN_CHARS] or type(error).__name__
    if progress.content_sent:
        return NodeError(
            f"the connection to {host} broke while the message was sent, it may have arrived: {reason}",
            code=OUTCOME_UNKNOWN,
            details={"host": host},
            retryable=envelope.idempotent,
        )
    if _is_distrust(error):
        message = f"the certificate of {host} is not trusted: nothing was sent"
        return NodeError(message, code=EXTERNAL_ERROR, details={"host": host, "cause": "certificate"})
    if isinstance(error, TimeoutError):
        message = f"{host} did not answer within {envelope.timeout_s:g} s, nothing was sent"
        return NodeError(message, code=TIMEOUT, details={"timeout_s": envelope.timeout_s}, retryable=True)
    details = {"host": host, "cause": "connection"}
    return NodeError(f"no connection to {host}: {reason}", code=EXTERNAL_ERROR, details=details, retryable=True)


def _refused_by_reply(error: aiosmtplib.SMTPResponseException, host: str) -> NodeError:
    """Replies 4xx are about now, 5xx about the message (RFC 5321, 4.2.1); either way it was not taken."""
    return NodeError(
        f"{host} refused the message: {error.code} {error.message[:_SHOWN_CHARS]}",
        code=EXTERNAL_ERROR,
        details={"host": host, "reply": error.code},
        retryable=400 <= error.code < 500,
    )


def _is_distrust(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
