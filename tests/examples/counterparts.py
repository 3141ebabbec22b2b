"""Real counterparts of the examples on loopback: started when an example first needs one, gone at the end.

A counterpart that this machine does not have skips the examples that need it, with the reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from email.message import EmailMessage, Message
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler

from engine.settings import Settings
from tests.ai_server import AiServer, running_ai_server
from tests.engine.nodes.integration.loopback import Call, answer, serving
from tests.models.server import PostgresServer, free_port
from tests.servers.mariadb import MariadbServer, missing_mariadb
from tests.servers.nats import open_nats
from tests.servers.rabbitmq import open_rabbitmq

SECRET = b64encode(b"a shared secret of 24 by").decode()
COMMANDS = {"greet": {"argv": ["/bin/echo", "Hello", "{name}"], "arguments": {"name": {"required": True}}}}
MODELS = ("writer", "painter", "embedder")


@dataclass(slots=True)
class Counterparts:
    """What runs so far. `settings` are those of the worker, whose files are in `folder`."""

    settings: Settings
    folder: Path
    stack: contextlib.AsyncExitStack
    addresses: dict[str, str] = field(default_factory=dict[str, str])
    mails: list[Message] = field(default_factory=list[Message])
    ai: AiServer | None = None
    _credentials: dict[str, Any] = field(default_factory=dict[str, Any])
    _urls: dict[str, str] = field(default_factory=dict[str, str])

    async def prepare(self, name: str) -> None:
        """Start the counterpart of that name unless it runs, and let the worker's files lead to it."""
        await _PREPARE[name](self)

    async def once(self, name: str, start: Callable[[], Awaitable[str]]) -> str:
        """The address of a counterpart, which is started the first time."""
        if name not in self._urls:
            self._urls[name] = await start()
        return self._urls[name]

    def credential(self, name: str, **fields: Any) -> None:
        """Put a credential into the operator's file."""
        self._credentials[name] = fields
        _write_private(self.settings.credentials_file, self._credentials)


@contextlib.asynccontextmanager
async def open_counterparts(servers: Settings, folder: Path) -> AsyncGenerator[Counterparts]:
    """None runs yet. The worker has a task queue of its own, so that no other worker takes its nodes."""
    settings = servers.override(
        {
            "worker": {"task_queue": "structforge-examples"},
            "credentials": {"file": folder / "credentials.yaml"},
            "commands": {"file": folder / "commands.yaml"},
            "ai": {"models_file": folder / "ai-models.yaml"},
        }
    )
    _write_private(folder / "commands.yaml", COMMANDS)
    async with contextlib.AsyncExitStack() as stack:
        yield Counterparts(settings, folder, stack)


def _write_private(path: Path, tree: Any) -> None:
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(tree), "utf-8")


# ---- HTTP


async def _http(parts: Counterparts) -> None:
    async def start() -> str:
        return (await parts.stack.enter_async_context(serving(_serve))).url

    url = await parts.once("http", start)
    parts.addresses |= {"shop": f"{url}/orders", "closed": f"{url}/nothing", "receiver": f"{url}/hooks"}
    parts.credential("partner", type="hmac", secret=f"whsec_{SECRET}")


async def _serve(call: Call) -> bytes:
    if call.target == "/orders?status=open":
        return answer(200, json.dumps({"orders": [{"id": 7, "total": 120}]}).encode(), content_type="application/json")
    if call.target == "/hooks":
        return answer(204 if _is_signed(call) else 401)
    return answer(404)


def _is_signed(call: Call) -> bool:
    """As a receiver checks it by the Standard Webhooks scheme, with nothing of StructForge."""
    names = call.headers["webhook-id"], call.headers["webhook-timestamp"]
    signed = f"{names[0]}.{names[1]}.".encode() + call.body
    expected = "v1," + b64encode(hmac.digest(b64decode(SECRET), signed, "sha256")).decode()
    fresh = abs(time.time() - int(names[1])) < 300
    return fresh and hmac.compare_digest(expected, call.headers["webhook-signature"])


# ---- databases


async def _postgresql(parts: Counterparts) -> None:
    async def start() -> str:
        server = PostgresServer()
        parts.stack.callback(server.remove)
        await asyncio.to_thread(server.initialise)
        server.start()
        await server.wait_ready()
        await server.create_roles()
        await server.create_database("books")
        return server.url("structforge_owner", "books")

    parts.credential("books", type="connection", url=await parts.once("postgresql", start))


async def _mariadb(parts: Counterparts) -> None:
    async def start() -> str:
        reason = missing_mariadb()
        if reason is not None:
            pytest.skip(reason)
        server = MariadbServer()
        parts.stack.callback(server.stop)
        await asyncio.to_thread(server.start)
        await server.wait_ready()
        return server.url

    parts.credential("books", type="connection", url=await parts.once("mariadb", start))


async def _sqlite(parts: Counterparts) -> None:
    parts.credential("books", type="connection", url=f"sqlite:///{parts.folder}/books.db")


async def _entered(parts: Counterparts, server: contextlib.AbstractContextManager[Any]) -> str:
    """Start a server whose start blocks; gives its URL. Skips where it is not installed."""
    started = await asyncio.to_thread(server.__enter__)
    parts.stack.push(server.__exit__)
    return started.url


# ---- brokers


async def _rabbitmq(parts: Counterparts) -> None:
    url = await parts.once("rabbitmq", lambda: _entered(parts, open_rabbitmq()))
    parts.credential("queue", type="connection", url=url)


async def _nats(parts: Counterparts) -> None:
    url = await parts.once("nats", lambda: _entered(parts, open_nats()))
    parts.credential("queue", type="connection", url=url)


async def _valkey(parts: Counterparts) -> None:
    url = parts.settings.redis.url
    assert url is not None
    parts.credential("queue", type="connection", url=url.get_secret_value())


# ---- e-mail


class _Mailbox(MessageHandler):
    def __init__(self, mails: list[Message]) -> None:
        super().__init__(EmailMessage)
        self._mails = mails

    def handle_message(self, message: Message) -> None:
        self._mails.append(message)


async def _smtp(parts: Counterparts) -> None:
    async def start() -> str:
        port = free_port()
        controller = Controller(_Mailbox(parts.mails), hostname="127.0.0.1", port=port)
        controller.start()
        parts.stack.callback(controller.stop)
        return str(port)

    port = int(await parts.once("smtp", start))
    parts.credential("post", type="smtp", host="127.0.0.1", port=port, security="none")


# ---- AI


async def _model(parts: Counterparts, provider: str) -> None:
    async def start() -> str:
        parts.ai = await parts.stack.enter_async_context(running_ai_server())
        return parts.ai.url

    await parts.once("ai", start)
    assert parts.ai is not None
    parts.credential("ai", type="bearer", token="sk-examples-41")
    url = {"openai": parts.ai.openai_url, "gemini": parts.ai.gemini_url, "ollama": parts.ai.ollama_url}[provider]
    entry: dict[str, Any] = {"provider": provider, "base_url": url}
    if provider != "ollama":
        entry["credential"] = "ai"
    _write_private(parts.settings.ai_models_file, {name: {**entry, "model": f"{provider}-{name}"} for name in MODELS})


_PREPARE: dict[str, Callable[[Counterparts], Awaitable[None]]] = {
    "http": _http,
    "postgresql": _postgresql,
    "mariadb": _mariadb,
    "sqlite": _sqlite,
    "rabbitmq": _rabbitmq,
    "nats": _nats,
    "valkey": _valkey,
    "smtp": _smtp,
    "openai": lambda parts: _model(parts, "openai"),
    "gemini": lambda parts: _model(parts, "gemini"),
    "ollama": lambda parts: _model(parts, "ollama"),
}
