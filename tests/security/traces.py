"""Everything that an installation keeps, searched for texts: PostgreSQL, Redis, objects, Temporal, logs."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import asyncpg
import redis.asyncio as redis

from engine.nodes.outbound.redaction import Redaction
from engine.settings import Settings
from models.session import plain_url
from tests.engine.workflows.lab import Lab


class Needles:
    """Texts that are looked for as they are, in hexadecimal, in URL and JSON forms, and within base64."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._known = {text: (Redaction([text]), text.encode().hex().encode()) for text in texts}

    def found_in(self, data: bytes) -> set[str]:
        return {text for text, (forms, hexed) in self._known.items() if forms.is_in(data) or hexed in data}


async def found(lab: Lab, settings: Settings, texts: Sequence[str], logs: bytes) -> dict[str, set[str]]:
    """Where each kind of store holds which of the texts."""
    needles = Needles(texts)
    places: dict[str, set[str]] = {"logs": needles.found_in(logs)}
    async for place, data in _kept(lab, settings):
        places.setdefault(place, set()).update(needles.found_in(data))
    return places


async def at_rest(settings: Settings) -> AsyncIterator[tuple[str, bytes]]:
    """Everything that an installation's servers and folders keep; of the embedded Temporal, its whole database."""
    async for data in _rows(settings):
        yield "postgresql", data
    async for data in _keys(settings):
        yield "redis", data
    for data in _files(settings.data_dir):
        yield "objects, files and logs", data
    for path in (settings.data_dir / "temporal").rglob("*"):
        if path.is_file():
            yield "temporal", path.read_bytes()


async def _kept(lab: Lab, settings: Settings) -> AsyncIterator[tuple[str, bytes]]:
    async for data in _rows(settings):
        yield "postgresql", data
    async for data in _keys(settings):
        yield "redis", data
    for data in _files(settings.data_dir):
        yield "objects", data
    for history in await lab.histories():
        for data in _payloads(json.loads(history.to_json())):
            yield "temporal", data


async def _rows(settings: Settings) -> AsyncIterator[bytes]:
    """Every row of every table as text; binary columns are hexadecimal."""
    password = json.loads((settings.data_dir / "secrets.json").read_text())["postgres_superuser"]
    assert settings.database.url is not None
    place = plain_url(settings.database.url.get_secret_value()).rpartition("@")[2]
    connection = await asyncpg.connect(f"postgresql://postgres:{password}@{place}")
    try:
        tables = await connection.fetch("SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND oid > 16000")
        for (table,) in tables:
            for (row,) in await connection.fetch(f"SELECT t::text FROM {table} t"):
                yield row.encode()
    finally:
        await connection.close()


async def _keys(settings: Settings) -> AsyncIterator[bytes]:
    assert settings.redis.url is not None
    client: Any = redis.Redis.from_url(settings.redis.url.get_secret_value())
    reads = {
        b"string": lambda key: client.get(key),
        b"hash": lambda key: client.hgetall(key),
        b"stream": lambda key: client.xrange(key),
        b"zset": lambda key: client.zrange(key, 0, -1),
        b"set": lambda key: client.smembers(key),
        b"list": lambda key: client.lrange(key, 0, -1),
    }
    try:
        async for key in client.scan_iter(count=1000):
            kind = await client.type(key)
            if kind in reads:
                for part in _parts(await reads[kind](key)):
                    yield key + b" " + part
    finally:
        await client.aclose()


def _parts(value: Any) -> Iterator[bytes]:
    """The bytes within whatever the client gives."""
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, dict):
        for key, member in cast("dict[Any, Any]", value).items():
            yield from _parts(key)
            yield from _parts(member)
    elif isinstance(value, list | tuple | set):
        for member in cast("list[Any]", value):
            yield from _parts(member)


def _files(data_dir: Path) -> Iterator[bytes]:
    for folder in ("objects", "files", "logs"):
        for path in (data_dir / folder).rglob("*"):
            if path.is_file():
                yield path.read_bytes()


def _payloads(tree: Any) -> Iterator[bytes]:
    """All texts of a history, and what its payloads decode to."""
    if isinstance(tree, dict):
        for member in cast("dict[str, Any]", tree).values():
            yield from _payloads(member)
    elif isinstance(tree, list):
        for member in cast("list[Any]", tree):
            yield from _payloads(member)
    elif isinstance(tree, str):
        yield tree.encode()
        with contextlib.suppress(ValueError):
            yield base64.b64decode(tree, validate=True)
