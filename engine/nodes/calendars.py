"""Cron lines and time zones as documents write them, checked against what Temporal's schedules take."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import re2
from cronsim import CronSim, CronSimError

NAMED = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
FIRST_YEAR, LAST_YEAR = 2000, 2100
_YEARS = r"(?:\*|\d{4}(?:-\d{4})?)(?:/[1-9]\d*)?"
# What other crons know and Temporal does not: last days, nearest weekdays, nth weekdays, "no value".
_FOREIGN = re2.compile(r"[#?]|\d[LW]\b|\bL(?:W|\b)")
_START = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)


def check_cron(text: str) -> str:
    """The line without spaces around it.

    Five fields, six with a year behind them, seven with a second before them as well, or one of `NAMED`.
    Raises: ValueError that says which part is wrong. Source: Temporal's ScheduleSpec.cron_string.
    """
    line = text.strip()
    if line.startswith("@"):
        return _named(line)
    if line.startswith(("TZ=", "CRON_TZ=")):
        raise ValueError("a cron line names no time zone here: write it as timezone")
    fields = line.split()
    if not 5 <= len(fields) <= 7:
        raise ValueError(f"a cron line has 5, 6 (a year last) or 7 fields (a second first), and this has {len(fields)}")
    if _FOREIGN.search(line.upper()):
        raise ValueError("L, W, # and ? are not known here: only numbers, names, * - / and commas")
    second, rest = ([fields[0]], fields[1:]) if len(fields) == 7 else ([], fields)
    _check_fields([*second, *rest[:5]])
    if len(rest) == 6:
        _check_years(rest[5])
    return line


def check_timezone(name: str) -> str:
    """The name of a time zone. Raises: ValueError if there is none of that name."""
    try:
        _zone(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {name[:64]!r}: write an IANA name such as Europe/Paris") from None
    return name


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _named(line: str) -> str:
    if line.startswith("@every"):
        raise ValueError("write an interval as every, such as every: 15m")
    if line not in NAMED:
        raise ValueError(f"{line[:20]} is not known: write one of {', '.join(NAMED)}")
    return line


def _check_fields(fields: list[str]) -> None:
    try:
        CronSim(" ".join(fields), _START)
    except CronSimError as error:
        reason = str(error)
        raise ValueError(reason[:1].lower() + reason[1:] + " in the cron line") from None


def _check_years(text: str) -> None:
    for part in text.split(","):
        numbers = [int(number) for number in re2.findall(r"\d{4}", part)]
        fits = all(FIRST_YEAR <= number <= LAST_YEAR for number in numbers) and numbers == sorted(numbers)
        if re2.fullmatch(_YEARS, part) is None or not fits:
            raise ValueError(f"bad year in the cron line: years are {FIRST_YEAR} to {LAST_YEAR}")
