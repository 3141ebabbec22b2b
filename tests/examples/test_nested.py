"""Loops in branches in a loop, on real data."""

from __future__ import annotations

from pathlib import Path

from tests.examples import weather
from tests.examples.conftest import Run

SOURCE = Path(__file__).parents[2] / "examples" / "nested.yaml"


def test_each_year_has_the_answers_that_plain_python_finds(run_example: Run) -> None:
    code, line = run_example("nested")
    assert (code, line["status"]) == (0, "success")
    head = " ".join(SOURCE.read_text().partition("schema_version")[0].replace("#", " ").split())
    for name, answers in zip(weather.YEARS, line["output"], strict=True):
        found = weather.of_year(name)
        mm, count = weather.level(name, 10)
        quarter, rain = weather.wettest_quarter(name)
        assert answers == {
            "year": name,
            "warmest": max(day.high for day in found),
            "coldest": min(day.low for day in found),
            "wettest_quarter": {"quarter": quarter, "mm": rain},
            "level": {"mm": mm, "days": count},
        }
        assert f"{mm} mm" in head
        assert f"{name} {quarter}" in head
    # One node execution for each year and quarter, each under its iteration.
    quarters = {key for key in line["nodes"] if ".rain[" in key}
    assert quarters == {
        f"years.body.questions.quarters.each_quarter.body.rain[{year}.{quarter}]"
        for year in range(4)
        for quarter in range(4)
    }


def test_another_bound_gives_another_level(run_example: Run) -> None:
    _, line = run_example("nested", most_days=40)
    levels = [weather.level(name, 40) for name in weather.YEARS]
    assert [(found["level"]["mm"], found["level"]["days"]) for found in line["output"]] == levels
