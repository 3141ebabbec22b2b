"""Casts of JSON data to a kind, strict enough that nothing is lost silently."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, Literal

from engine.nodes.json_kinds import kind_of

CastKind = Literal["int", "float", "str", "bool", "date", "datetime", "json"]
_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}
_LARGEST_INT = 2**63
_LONGEST_NUMBER = 400
_SLASHED = re.compile(r"^(\d{4})/(\d\d)/(\d\d)", re.ASCII)


def cast_value(value: Any, kind: CastKind) -> Any:
    """`value` as `kind`; null stays null.

    Raises: ValueError saying what is wrong, without the value itself.
    """
    return None if value is None else _CASTS[kind](value)


def _int(value: Any) -> int:
    if isinstance(value, str):
        number = _parsed(int, value, "a whole number")
    elif isinstance(value, float) and not value.is_integer():
        raise ValueError("the number has a fraction: use round(...) in an expression first")
    elif isinstance(value, bool | int | float):
        number = int(value)
    else:
        raise _unfit(value, "a whole number")
    if not -_LARGEST_INT <= number < _LARGEST_INT:
        raise ValueError("the number does not fit into 64 bits")
    return number


def _float(value: Any) -> float:
    if not isinstance(value, str | bool | int | float):
        raise _unfit(value, "a number")
    number = _parsed(float, value, "a number") if isinstance(value, str) else float(value)
    if not math.isfinite(number):
        raise ValueError("the number is not finite")
    return number


def _parsed(read: Callable[[str], Any], text: str, what: str) -> Any:
    stripped = text.strip()
    # Python reads 1_000 and digits of every script; data files do not mean that.
    if stripped.isascii() and "_" not in stripped and len(stripped) <= _LONGEST_NUMBER:
        try:
            return read(stripped)
        except ValueError:
            pass
    raise ValueError(f"the text is not {what}")


def _str(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    text = value.strip().lower() if isinstance(value, str) else ""
    if text not in _TRUE | _FALSE:
        raise ValueError("it is none of true, false, yes, no, on, off, 1, 0")
    return text in _TRUE


def _date(value: Any) -> str:
    return _moment(value).date().isoformat()


def _datetime(value: Any) -> str:
    return _moment(value).isoformat()


def _moment(value: Any) -> datetime:
    """ISO 8601 text (2026/01/31 too) or seconds since 1970; without an offset it is UTC."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return datetime.fromtimestamp(value, UTC)
        except (OverflowError, OSError, ValueError):
            raise ValueError("the number is no time in seconds since 1970") from None
    if not isinstance(value, str):
        raise _unfit(value, "a date")
    text = _SLASHED.sub(r"\1-\2-\3", value.strip())
    try:
        if len(text) == len("2026-01-31"):
            return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("the text is no ISO 8601 date or time, such as 2026-01-31 or 2026-01-31T12:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _json(value: Any) -> Any:
    if not isinstance(value, str):
        raise _unfit(value, "JSON text")
    try:
        return json.loads(value, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ValueError("the text is not JSON") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _unfit(value: Any, what: str) -> ValueError:
    return ValueError(f"{kind_of(value)} cannot become {what}")


_CASTS: dict[CastKind, Callable[[Any], Any]] = {
    "int": _int,
    "float": _float,
    "str": _str,
    "bool": _bool,
    "date": _date,
    "datetime": _datetime,
    "json": _json,
}
