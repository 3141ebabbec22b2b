"""PostgreSQL: values travel as text, which the server reads by the type that it expects.

So a date may be given as ISO 8601, a number as text and JSON as data; what does not fit is the server's error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, cast

import asyncpg
import orjson
from sqlalchemy import Connection

from engine.nodes.binary import wrap_bytes


async def prepare_connection(connection: Any) -> None:
    """Teach a new connection how JSON data becomes the server's types and back."""
    driver = cast("asyncpg.Connection[Any]", connection)
    for name, decoder in _DECODERS.items():
        await driver.set_type_codec(name, schema="pg_catalog", encoder=_text, decoder=decoder)
    for name in ("json", "jsonb"):
        await driver.set_type_codec(name, schema="pg_catalog", encoder=_json, decoder=orjson.loads)


def begin(connection: Connection, read_only: bool, timeout_s: float) -> Connection:
    """Begin a transaction whose statements end themselves; none before it could have set anything."""
    # The first query also takes the snapshot, after which the transaction cannot be made writable any more.
    connection = connection.execution_options(postgresql_readonly=read_only)
    connection.exec_driver_sql(
        "SELECT set_config('statement_timeout', $1, true), set_config('IntervalStyle', 'iso_8601', true)",
        (str(max(1, round(timeout_s * 1000))),),
    )
    return connection


async def clear_session(connection: Any) -> None:
    """Leave nothing to the next node: settings, temporary tables, locks, cursors."""
    await cast("asyncpg.Connection[Any]", connection).execute("DISCARD ALL")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise TypeError("neither text nor a number")


def _json(value: Any) -> str:
    return orjson.dumps(value, default=_bytes).decode()


def _bytes(value: Any) -> Any:
    return wrap_bytes(value) if isinstance(value, bytes) else str(value)


def _stamp(text: str) -> str:
    """`2024-05-06 07:08:09+00` as ISO 8601; infinity and years before Christ stay as they are."""
    return _zone(text.replace(" ", "T", 1)) if text[:1].isdigit() and not text.endswith("BC") else text


def _zone(text: str) -> str:
    return f"{text}:00" if text[-3:-2] in ("+", "-") else text


_DECODERS: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(("int2", "int4", "int8"), int),
    **dict.fromkeys(("float4", "float8"), float),
    "numeric": Decimal,
    **dict.fromkeys(("date", "time", "interval", "uuid", "money"), str),
    **dict.fromkeys(("timestamp", "timestamptz"), _stamp),
    "timetz": _zone,
}
