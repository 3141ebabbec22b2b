"""Values of parameters on their way to a driver, and of columns on their way to JSON data.

| in the database | as data |
| --- | --- |
| integers | numbers; text beyond 64 bits |
| decimals | text, exact; numbers on request |
| floats | numbers; NaN, Infinity and -Infinity as text |
| dates, times, intervals | ISO 8601 |
| bytes | `{"base64": ...}` |
| JSON, arrays, composites | data |
| everything else | text |
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, cast

from engine.nodes.binary import unwrap_bytes, wrap_bytes
from engine.nodes.json_text import dump_json
from engine.nodes.querying.port import Decimals
from engine.nodes.querying.statements import Dialect

_LEAST, _MOST = -(2**63), 2**63 - 1


def as_data(value: Any, decimals: Decimals = "text") -> Any:
    """A column's value as JSON data."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if _LEAST <= value <= _MOST else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else _odd_float(value)
    if isinstance(value, Decimal):
        return _decimal(value, decimals)
    if isinstance(value, bytes | bytearray | memoryview):
        return wrap_bytes(bytes(value))
    return _compound(value, decimals)


def _odd_float(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _decimal(value: Decimal, decimals: Decimals) -> str | float | int:
    if not value.is_finite():
        return _odd_float(float(value))
    if decimals == "text":
        return format(value, "f")
    number = int(value) if value == value.to_integral_value() and abs(value) <= _MOST else float(value)
    return number if math.isfinite(number) else format(value, "f")


def _compound(value: Any, decimals: Decimals) -> Any:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _clock(value)
    if isinstance(value, Mapping):
        members = cast("Mapping[Any, Any]", value).items()
        return {str(key): as_data(member, decimals) for key, member in members}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_data(member, decimals) for member in cast("Iterable[Any]", value)]
    return str(value)


def _clock(value: timedelta) -> str:
    """`-01:02:03.5`: how MySQL writes a TIME, which may pass a day."""
    total = abs(value)
    seconds = total // timedelta(seconds=1)
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    text += f".{total.microseconds:06d}" if total.microseconds else ""
    return f"-{text}" if value < timedelta(0) else text


def as_parameter(value: Any, dialect: Dialect) -> Any:
    """JSON data as the driver takes it: `{"base64": ...}` is bytes; objects and lists are JSON text, but for
    PostgreSQL, where the type of the parameter decides.

    Raises: ValueError.
    """
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        if set(members) == {"base64"} and isinstance(members["base64"], str):
            return unwrap_bytes(members)
    if isinstance(value, dict | list) and dialect != "postgresql":
        return dump_json(value).decode()
    if isinstance(value, list):
        return [as_parameter(member, dialect) for member in cast("list[Any]", value)]
    return value


def size_of(value: Any) -> int:
    """Bytes that data takes, roughly; at least one for anything."""
    if isinstance(value, str):
        return len(value) + 2
    if isinstance(value, dict):
        return sum(len(key) + 4 + size_of(member) for key, member in cast("dict[str, Any]", value).items()) + 2
    if isinstance(value, list):
        return sum(size_of(member) + 1 for member in cast("list[Any]", value)) + 2
    return 8


def column_names(names: Iterable[str]) -> list[str]:
    """Names that differ: a second `id` is `id_2`."""
    given = [str(name) for name in names]
    taken: set[str] = set()
    result: list[str] = []
    for name in given:
        chosen, number = name, 1
        while chosen in taken or (chosen != name and chosen in given):
            number += 1
            chosen = f"{name}_{number}"
        taken.add(chosen)
        result.append(chosen)
    return result
