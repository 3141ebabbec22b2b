"""E-mail to a real SMTP server with STARTTLS, TLS and sign-in."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from engine.activities.clients.mail import MailServers
from engine.errors import NodeError
from engine.nodes.base import Credential
from engine.nodes.outbound.addresses import HttpPolicy
from engine.nodes.outbound.connections import tls_context
from tests.engine.nodes.running import codes, node_type, run

AUTHORITY = trustme.CA()
PASSWORD = "canary-pässword"
Hook = Callable[["Post", str], str | None]


def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("localhost").configure_cert(context)
    return context


def trusting(name: str) -> ssl.SSLContext:
    context = tls_context(name)
    AUTHORITY.configure_trust(context)
    return context


@dataclass(slots=True)
class Post:
    """The server's handler: keeps messages, refuses what a test says, drops the line when told to."""

    credential: Credential
    mails: list[EmailMessage] = field(default_factory=list[EmailMessage])
    raw: list[bytes] = field(default_factory=list[bytes])
    envelopes: list[tuple[str, list[str], bool]] = field(default_factory=list[tuple[str, list[str], bool]])
    replies: dict[str, str] = field(default_factory=dict[str, str])
    writers: list[asyncio.StreamWriter] = field(default_factory=list[asyncio.StreamWriter])

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.replies:
            return self.replies[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.replies.get("DATA") == "drop":
            assert server.transport is not None
            server.transport.close()
        content = cast("bytes", envelope.content)
        self.raw.append(content)
        self.mails.append(cast("EmailMessage", message_from_bytes(content, policy=default)))
        self.envelopes.append((str(envelope.mail_from), [*envelope.rcpt_tos], session.ssl is not None))
        return self.replies.get("DATA", "250 taken")

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, how: str, data: Any) -> AuthResult:
        given = cast("LoginPassword", data)
        fine = given.login == b"robot@shop.example" and given.password == PASSWORD.encode()
        return AuthResult(success=fine, handled=False)


@asynccontextmanager
async def serving(security: str = "starttls", *, auth: bool = False, **options: Any) -> AsyncIterator[Post]:
    post = Post({"type": "smtp", "host": "localhost", "security": security, "trusted": True})  # type: ignore[typeddict-item]
    tls = server_tls()
    settings: dict[str, Any] = {"hostname": "mx.example", "enable_SMTPUTF8": False, **options}
    if security == "starttls":
        settings |= {"tls_context": tls, "require_starttls": True}
    if auth:
        settings |= {"authenticator": post.authenticate, "auth_required": True, "auth_require_tls": False}
        post.credential |= {"username": "robot@shop.example", "password": PASSWORD}
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(
        lambda: SMTP(post, loop=loop, **settings), "127.0.0.1", 0, ssl=tls if security == "tls" else None
    )
    post.credential["port"] = listener.sockets[0].getsockname()[1]
    try:
        yield post
    finally:
        listener.close()


def params(**given: Any) -> dict[str, Any]:
    return {"to": "ada@shop.example", "from_address": "Shop <robot@shop.example>", "body": "hello", **given}


async def send(post: Post, given: dict[str, Any], **context: Any) -> dict[str, Any]:
    mail = MailServers(HttpPolicy(), tls=context.pop("tls", trusting))
    context = {"credential": post.credential, "idempotency_key": "exec:tell:0:0", **context}
    return (await run("email", given, mail=mail, **context)).output


async def failure(post: Post, given: dict[str, Any], **context: Any) -> NodeError:
    with pytest.raises(NodeError) as caught:
        await send(post, given, **context)
    assert "canary" not in str(caught.value.as_dict())
    return caught.value


@pytest.mark.parametrize("security", ["starttls", "tls", "none"])
async def test_message_arrives_by_each_security(security: str) -> None:
    async with serving(security) as post:
        output = await send(post, params(subject="Grüße", body="Zeile eins\n.\nzwei"))
    (mail,) = post.mails
    assert post.envelopes == [("robot@shop.example", ["ada@shop.example"], security == "starttls")]
    assert (mail["Subject"], mail["From"], mail["To"]) == ("Grüße", "Shop <robot@shop.example>", "ada@shop.example")
    assert mail.get_content().replace("\r\n", "\n") == "Zeile eins\n.\nzwei\n"
    assert output == {"message_id": mail["Message-ID"], "accepted": ["ada@shop.example"], "refused": []}
    assert mail["Message-ID"].endswith("@shop.example>")
    assert mail["Date"].datetime.tzinfo is not None
    assert post.raw[0].isascii()


async def test_text_html_and_attachments_are_parts_of_one_message() -> None:
    files = [
        {"filename": "week.csv", "content": "a,b\n1,2\n"},
        {"filename": "logo.png", "content": {"base64": base64.b64encode(b"\x89PNG\x00").decode()}},
        {"filename": "grüße.json", "content": {"n": [1, 2]}},
        {"filename": "odd.bin", "content": "x", "content_type": "application/x-odd"},
    ]
    async with serving() as post:
        await send(post, params(body="plain", html="<b>rich ✓</b>", attachments=files))
    (mail,) = post.mails
    plain, rich = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert rich is not None
    assert (plain.get_content().strip(), rich.get_content().strip()) == ("plain", "<b>rich ✓</b>")
    seen = [(a.get_filename(), a.get_content_type(), a.get_payload(decode=True)) for a in mail.iter_attachments()]
    assert seen == [
        ("week.csv", "text/csv", b"a,b\n1,2\n"), ("logo.png", "image/png", b"\x89PNG\x00"),
        ("grüße.json", "application/json", b'{"n":[1,2]}'), ("odd.bin", "application/x-odd", b"x"),
    ]  # fmt: skip


async def test_html_alone_needs_no_text() -> None:
    async with serving() as post:
        await send(post, {"to": "ada@shop.example", "from_address": "robot@shop.example", "html": "<p>hi</p>"})
    assert post.mails[0].get_content_type() == "text/html"


async def test_hidden_recipients_stand_in_the_envelope_alone() -> None:
    given = params(
        to=["Ada <ada@shop.example>", "b@shop.example, c@shop.example"], cc="ada@shop.example, d@shop.example",
        bcc="secret@shop.example", reply_to="help@shop.example", headers={"In-Reply-To": "<x@y.example>"},
    )  # fmt: skip
    async with serving() as post:
        output = await send(post, given)
    names = ["ada", "b", "c", "d", "secret"]
    assert post.envelopes[0][1] == [f"{name}@shop.example" for name in names] == output["accepted"]
    assert b"secret@" not in post.raw[0]
    mail = post.mails[0]
    assert (mail["Reply-To"], mail["In-Reply-To"], mail["Bcc"]) == ("help@shop.example", "<x@y.example>", None)


async def test_message_id_is_the_executions_and_stays_over_attempts() -> None:
    async with serving() as post:
        first = await send(post, params())
        second = await send(post, params(), attempt=2)
        other = await send(post, params(), idempotency_key="exec:tell:1:0")
    assert first["message_id"] == second["message_id"] != other["message_id"]


async def test_sign_in_and_the_sender_of_the_credential() -> None:
    async with serving(auth=True) as post:
        await send(post, {"to": "ada@shop.example", "body": "x"})
        post.credential["from_address"] = "Desk <desk@shop.example>"
        await send(post, {"to": "ada@shop.example", "body": "x"})
        post.credential["password"] = "canary-wrong"
        error = await failure(post, {"to": "ada@shop.example", "body": "x"})
    assert [mail["From"] for mail in post.mails] == ["robot@shop.example", "Desk <desk@shop.example>"]
    assert (error.code, error.retryable) == ("ACCESS_DENIED", False)


async def test_sender_must_be_known() -> None:
    async with serving() as post:
        error = await failure(post, {"to": "ada@shop.example", "body": "x"})
    assert (error.code, "from_address" in error.message) == ("INVALID_CONFIG", True)


async def test_refused_recipients_are_told_and_the_others_served() -> None:
    async with serving() as post:
        post.replies["b@shop.example"] = "550 no such user"
        output = await send(post, params(to="ada@shop.example, b@shop.example"))
    assert output["accepted"] == ["ada@shop.example"]
    assert output["refused"] == [{"address": "b@shop.example", "code": 550, "message": "no such user"}]


@pytest.mark.parametrize(
    ("place", "reply", "retryable"),
    [("ada@shop.example", "550 unknown", False), ("ada@shop.example", "451 later", True),
     ("DATA", "554 spam", False), ("DATA", "452 full", True)],
)  # fmt: skip
async def test_reply_says_whether_another_attempt_helps(place: str, reply: str, retryable: bool) -> None:
    async with serving() as post:
        post.replies[place] = reply
        error = await failure(post, params())
    assert (error.code, error.retryable) == ("EXTERNAL_ERROR", retryable)
    assert reply[:3] in error.message


@pytest.mark.parametrize("idempotent", [False, True])
async def test_line_lost_after_the_content_leaves_the_outcome_unknown(idempotent: bool) -> None:
    async with serving() as post:
        post.replies["DATA"] = "drop"
        error = await failure(post, params(idempotent=idempotent))
    assert (error.code, error.retryable) == ("OUTCOME_UNKNOWN", idempotent)


async def test_server_that_is_not_there_is_worth_another_attempt() -> None:
    async with serving() as post:
        pass
    error = await failure(post, params())
    assert (error.code, error.retryable, error.details["cause"]) == ("EXTERNAL_ERROR", True, "connection")


async def test_server_that_says_nothing_times_out() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    post = Post({"type": "smtp", "host": "127.0.0.1", "port": listener.sockets[0].getsockname()[1], "trusted": True})
    error = await failure(post, params(timeout="300ms"))
    listener.close()
    assert (error.code, error.retryable) == ("TIMEOUT", True)


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_certificate_is_checked(security: str) -> None:
    async with serving(security) as post:
        distrusted = await failure(post, params(), tls=tls_context)
        post.credential["host"] = "127.0.0.1"
        elsewhere = await failure(post, params())
    for error in (distrusted, elsewhere):
        assert (error.code, error.retryable, error.details["cause"]) == ("EXTERNAL_ERROR", False, "certificate")
    assert post.mails == []


async def test_nothing_is_said_where_tls_was_taken_away() -> None:
    async with serving("none", auth=True) as post:
        post.credential["security"] = "starttls"
        error = await failure(post, params())
    assert (error.code, "offers no TLS" in error.message) == ("EXTERNAL_ERROR", True)


async def test_message_over_the_servers_limit_is_not_sent() -> None:
    async with serving(data_size_limit=2000) as post:
        error = await failure(post, params(body="x " * 2000))
    assert (error.code, error.details["max_bytes"], post.mails) == ("OUTPUT_TOO_LARGE", 2000, [])


async def test_credential_of_a_tenant_reaches_no_internal_server() -> None:
    async with serving() as post:
        post.credential["trusted"] = False
        assert (await failure(post, params())).code == "BLOCKED_ADDRESS"
        post.credential |= {"trusted": True, "allowed_hosts": ["mail.example"]}
        assert (await failure(post, params())).code == "ACCESS_DENIED"


async def test_only_an_smtp_credential_sends() -> None:
    post = Post({"type": "bearer", "token": "t"})
    assert (await failure(post, params())).code == "INVALID_CONFIG"
    assert (await failure(post, params(), credential=None)).code == "INVALID_CONFIG"


FILE = "params.attachments[0]"
INJECTIONS = [
    "x\r\nBcc: evil@bad.example", "x\nBcc: evil@bad.example", "x\rBcc: evil@bad.example", "x\r\n\r\nbody",
    "x\u2028Bcc: evil@bad.example", "x\x0bBcc: e@bad.example", "x\x00", "\r\n.\r\nMAIL FROM:<evil@bad.example>",
    "x\x85Bcc: evil@bad.example", "x\x1c\x1d\x1e",
]  # fmt: skip


@pytest.mark.parametrize("text", INJECTIONS)
@pytest.mark.parametrize("place", ["subject", "to", "cc", "reply_to", "from_address", "headers", "filename"])
def test_no_text_begins_another_header(place: str, text: str) -> None:
    address = f"{text} <ada@shop.example>"
    given: dict[str, Any] = {
        "subject": {"subject": text}, "headers": {"headers": {"X-A": text}},
        "filename": {"attachments": [{"filename": text, "content": ""}]},
    }.get(place, {place: address})  # fmt: skip
    assert codes("email", params(**given)) != []
    with pytest.raises(NodeError) as caught:
        node_type("email").parse_params(params(**given))
    assert caught.value.code == "INVALID_CONFIG"


@pytest.mark.parametrize(
    "address",
    ["", "ada", "ada@", "@shop.example", "ada@shop.example>", "a b@shop.example", "ada@sh op.example",
     "ada@shop.example;b@shop.example", "<ada@shop.example", "team: ada@shop.example;", "ada@[127.0.0.1]",
     '"a\\" <b@c.d>"@shop.example', "ada@shop..example", "ada@-shop.example", "ädä@shop.example",
     "ada@shop.example SIZE=1"],
)  # fmt: skip
def test_what_is_no_address_is_an_issue(address: str) -> None:
    assert codes("email", params(to=address)) != []


@pytest.mark.parametrize(
    ("text", "plain"),
    [("ada@grüße.example", "ada@xn--gre-6ka8l.example"), ("Ä, B <ada@shop.example>", None),
     ('"Lovelace, Ada" <ada+x@shop.example>', "ada+x@shop.example")],
)  # fmt: skip
async def test_names_and_domains_beyond_ascii(text: str, plain: str | None) -> None:
    if plain is None:
        assert codes("email", params(to=text)) != []
        return
    async with serving() as post:
        output = await send(post, params(to=text))
    assert output["accepted"] == [plain]


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"to": "ada@shop.example"}, "params"),
        ({"body": "x"}, "params.to"),
        (params(headers={"Bcc": "x@y.example"}), "params.headers"),
        (params(headers={"Content-Type": "text/html"}), "params.headers"),
        (params(headers={"a b": "x"}), "params.headers"),
        (params(attachments=[{"content": "x"}]), "params.attachments[0].filename"),
        *(
            (params(attachments=[{"filename": "x", "content": "", "content_type": kind}]), f"{FILE}.content_type")
            for kind in ("nothing", "multipart/mixed", "message/rfc822", "text/csv\r\nBcc: x@y.example")
        ),
        (params(subjct="x"), "params.subjct"),
    ],
)  # fmt: skip
def test_mistake_is_an_issue_of_the_document(given: dict[str, Any], path: str) -> None:
    assert path in [found for _, found in codes("email", given)]


def test_templates_stand_where_values_will() -> None:
    given = params(to="{{ input.to }}", subject="Order {{ input.id }}", attachments="{{ nodes.x.output.files }}")
    assert codes("email", given) == []


def test_message_may_be_repeated_where_the_author_says_so() -> None:
    kind = node_type("email")
    assert not kind.idempotent(params())
    assert kind.idempotent(params(idempotent=True))
