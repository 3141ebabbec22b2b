"""Durations as documents write them: `250ms`, `30s`, `5m`, `1h`, `2d`, `1h30m`, or ISO 8601 (`PT1H30M`)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SHORT = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_ISO = re.compile(
    r"P(?:(?P<w>\d+)W)?(?:(?P<d>\d+(?:\.\d+)?)D)?(?:T(?=\d)(?:(?P<h>\d+(?:\.\d+)?)H)?(?:(?P<m>\d+(?:\.\d+)?)M)?(?:(?P<s>\d+(?:\.\d+)?)S)?)?",
    re.ASCII,
)
LONGEST = timedelta(days=3650)
_LONGEST_TEXT = 64


def parse_duration(text: str) -> timedelta:
    """Read a duration.

    Raises: ValueError if the text is neither short form nor ISO 8601, or longer than ten years.
    """
    stripped = text.strip() if len(text) <= _LONGEST_TEXT else ""
    if _SHORT.fullmatch(stripped):
        milliseconds = sum(float(number) * _UNIT_MS[unit] for number, unit in _PART.findall(stripped))
        return _bounded(milliseconds, text)
    match = _ISO.fullmatch(stripped)
    if match is None or not any(match.groups()):
        raise ValueError(f"{text[:64]!r} is no duration: write 250ms, 30s, 5m, 1h, 2d or ISO 8601 such as PT1H30M")
    parts = {name: float(number or 0) for name, number in match.groupdict().items()}
    hours = parts["w"] * 168 + parts["d"] * 24 + parts["h"]
    return _bounded((hours * 3600 + parts["m"] * 60 + parts["s"]) * 1000, text)


def _bounded(milliseconds: float, text: str) -> timedelta:
    if milliseconds > LONGEST / timedelta(milliseconds=1):
        raise ValueError(f"{text[:64]!r} is longer than ten years")
    return timedelta(milliseconds=milliseconds)


def format_duration(duration: timedelta) -> str:
    """The shortest text that `parse_duration` reads back to the same duration."""
    microseconds = duration // timedelta(microseconds=1)
    whole, rest = divmod(microseconds, 1000)
    if rest:
        return f"{whole}.{rest:03d}".rstrip("0") + "ms"
    for unit in ("d", "h", "m", "s"):
        if whole and whole % _UNIT_MS[unit] == 0:
            return f"{whole // _UNIT_MS[unit]}{unit}"
    return f"{whole}ms"


def _from_document(value: Any) -> Any:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, int | float):
        raise ValueError("a duration needs a unit: write 30s, not 30")
    return value


Duration = Annotated[timedelta, BeforeValidator(_from_document), PlainSerializer(format_duration, return_type=str)]
