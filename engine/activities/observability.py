"""What every process turns on first: logs, traces, the port of its metrics; then it looks after what it stands on."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from contextlib import ExitStack, asynccontextmanager, contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, SecretStr

from engine.activities.clients.redis_live import LiveView
from engine.activities.clients.temporal_metrics import expose_sdk_metrics
from engine.errors import SystemFault
from engine.nodes.outbound.redaction import Redaction
from engine.settings import Settings
from engine.telemetry import configure_logging, metrics
from engine.telemetry.exposition import serving_metrics
from engine.telemetry.tracing import Tracing, activate, configure_tracing
from models.session import Database

SHORTEST_SECRET = 8  # a shorter one may be a word of any line
PATIENCE_S = 3.0
_log = logging.getLogger(__name__)


@contextmanager
def observed(role: str, settings: Settings) -> Generator[str | None]:
    """Log, trace and count in this block; the URL of the metrics, None without a port for them.

    Raises: ConfigurationError if the port cannot be used.
    """
    logs = settings.logs
    json_lines = None if logs.format == "auto" else logs.format == "json"
    redaction = Redaction(secrets_of(settings))
    configure_logging(role, json_lines=json_lines, level=logs.level, redact=redaction.text)
    tracing = configure_tracing(role, f"{socket.gethostname()}:{os.getpid()}")
    metrics.BUILD.info({"version": _version(), "role": role})
    with ExitStack() as stack:
        if tracing is not None:
            stack.callback(_end, tracing)
        url = None
        if settings.metrics.port is not None:
            beside = expose_sdk_metrics()
            url = stack.enter_context(serving_metrics(settings.metrics.host, settings.metrics.port, beside=beside))
            _log.info("metrics are at %s", url)
        yield url


def _end(tracing: Tracing) -> None:
    activate(None)
    tracing.close()


def _version() -> str:
    try:
        return version("structforge")
    except PackageNotFoundError:
        return "0"


def secrets_of(settings: Settings) -> list[str]:
    """Every secret of the settings: keys, passwords of addresses, and each text inside a secret that is JSON."""
    found = {text for secret in _secrets(settings) for text in _parts(secret.get_secret_value())}
    return sorted(text for text in found if len(text) >= SHORTEST_SECRET)


def _secrets(section: BaseModel) -> Iterable[SecretStr]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, SecretStr):
            yield value
        elif isinstance(value, BaseModel):
            yield from _secrets(value)


def _parts(secret: str) -> Iterable[str]:
    if "://" in secret:
        address = urlsplit(secret)
        if address.password and address.password != address.username:
            yield from (address.password, unquote(address.password))
    elif secret.lstrip().startswith("{"):
        yield from _texts(json.loads(secret)) if _is_json(secret) else [secret]
    else:
        yield secret


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for member in cast("dict[str, Any]", value).values():
            yield from _texts(member)
    elif isinstance(value, list):
        for member in cast("list[Any]", value):
            yield from _texts(member)
    elif isinstance(value, str) and len(value) >= 2 * SHORTEST_SECRET:
        yield value


@asynccontextmanager
async def watched(
    settings: Settings,
    database: Database,
    live: LiveView | None = None,
    temporal: Callable[[], Awaitable[object]] | None = None,
) -> AsyncGenerator[None]:
    """Ask the servers now and then whether they answer, while metrics are shown; nothing is asked without a port."""
    if settings.metrics.port is None:
        yield
        return
    watch = Watch(database, live, temporal, settings.metrics.sample_s)
    task = asyncio.create_task(watch.run_forever(), name="watch of servers")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Watch:
    """Sets the gauges of what this process stands on."""

    def __init__(
        self,
        database: Database,
        live: LiveView | None,
        temporal: Callable[[], Awaitable[object]] | None,
        every_s: float,
    ) -> None:
        self._database, self._live, self._temporal, self._every_s = database, live, temporal, every_s

    async def run_forever(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            due = time.monotonic() + self._every_s
            await asyncio.sleep(self._every_s)
            metrics.LOOP_LAG.set(max(0.0, time.monotonic() - due))

    async def look(self) -> None:
        """Ask each server once, for `PATIENCE_S` at most."""
        questions: dict[str, Callable[[], Awaitable[object]]] = {"postgresql": self._ask_database}
        if self._live is not None:
            questions["redis"] = self._live.answers
        if self._temporal is not None:
            questions["temporal"] = self._temporal
        answers = await asyncio.gather(*(_answers(question) for question in questions.values()))
        for name, answered in zip(questions, answers, strict=True):
            metrics.UP.labels(name).set(int(answered))
        size, idle, most = self._database.pool_state
        metrics.CONNECTIONS.labels("open").set(size)
        metrics.CONNECTIONS.labels("idle").set(idle)
        metrics.MAX_CONNECTIONS.set(most)

    async def _ask_database(self) -> None:
        async with self._database.transaction():
            pass


async def _answers(question: Callable[[], Awaitable[object]]) -> bool:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await question() is not False
    except (SystemFault, TimeoutError):
        return False
    except Exception as error:
        _log.warning("a server could not be asked: %s: %s", type(error).__name__, error)
        return False
