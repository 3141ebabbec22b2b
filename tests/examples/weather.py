"""The figures of the weather table, worked out with the csv module and nothing of StructForge."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).parents[2] / "examples" / "data" / "seattle-weather.csv"
YEARS = ("2012", "2013", "2014", "2015")


@dataclass(frozen=True, slots=True)
class Day:
    date: str
    rain: float
    high: float
    low: float
    weather: str


def days() -> list[Day]:
    with TABLE.open(newline="") as file:
        return [
            Day(
                date=row["date"],
                rain=float(row["precipitation"]),
                high=float(row["temp_max"]),
                low=float(row["temp_min"]),
                weather=row["weather"],
            )
            for row in csv.DictReader(file)
        ]


def of_year(year: str) -> list[Day]:
    return [day for day in days() if day.date.startswith(year)]


def rain(of: Iterable[Day]) -> float:
    return math.fsum(day.rain for day in of)


def rain_by_month() -> dict[str, float]:
    months: dict[str, list[Day]] = defaultdict(list)
    for day in days():
        months[day.date[:7]].append(day)
    return {month: rain(found) for month, found in months.items()}


def level(year: str, most_days: int) -> tuple[int, int]:
    """The lowest multiple of 5 mm that at most so many days pass, and how many do."""
    mm = 5
    while (count := sum(day.rain > mm for day in of_year(year))) > most_days:
        mm += 5
    return mm, count


def wettest_quarter(year: str) -> tuple[str, float]:
    quarters = {
        f"Q{number}": rain(day for day in of_year(year) if (int(day.date[5:7]) + 2) // 3 == number)
        for number in (1, 2, 3, 4)
    }
    name = max(quarters, key=quarters.__getitem__)
    return name, round(quarters[name], 1)
