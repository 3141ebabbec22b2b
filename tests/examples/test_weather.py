"""The weather example on real data: what comes out of the engine is what plain Python finds."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any

from tests.examples import weather
from tests.examples.conftest import Run

SOURCE = Path(__file__).parents[2] / "examples" / "weather.yaml"


def test_the_figures_are_those_of_the_table_and_of_the_head_of_the_file(run_example: Run, files: Path) -> None:
    code, ran = run_example("weather")
    assert (code, ran["status"], ran["error"]) == (0, "success", None)
    output = ran["output"]
    all_days = weather.days()
    wet = [day for day in all_days if day.rain > 0]
    assert (output["days"], output["wet_days"]) == (len(all_days), len(wet)) == (1461, 623)
    assert output["heaviest_mm"] == max(day.rain for day in all_days) == 55.9
    assert output["rainiest_months"] == rainiest(5)
    assert output["years"] == [year(name) for name in weather.YEARS]
    assert output["verdict"] == "Take an umbrella."  # 623 of 1461 days are 42.6 %
    assert output["service"] == "up"
    report = json.loads((files / "reports" / "seattle-weather.json").read_text())
    assert (report["wet_days"], report["heaviest_mm"]) == (623, 55.9)
    check_classes(report["classes"])
    check_nodes(ran["nodes"])
    check_head(output)


def rainiest(top: int) -> list[str]:
    months = sorted(weather.rain_by_month().items(), key=lambda item: (-round(item[1], 1), item[0]))
    return [f"{month}: {round(mm, 1)} mm" for month, mm in months[:top]]


def year(name: str) -> dict[str, Any]:
    found = weather.of_year(name)
    heavy = sum(day.rain > 25 for day in found)
    warmest = max(day.high for day in found)
    return {"year": int(name), "rain": round(weather.rain(found), 1), "heavy_days": heavy, "warmest": warmest}


def check_classes(classes: list[dict[str, Any]]) -> None:
    by_name = {item["weather"]: item for item in classes}
    assert list(by_name) == list(dict.fromkeys(day.weather for day in weather.days()))
    for name, item in by_name.items():
        found = [day for day in weather.days() if day.weather == name]
        assert item["days"] == len(found)
        assert math.isclose(item["rain"], weather.rain(found))
        assert item["median_high"] == statistics.median(day.high for day in found)


def check_nodes(nodes: dict[str, dict[str, Any]]) -> None:
    assert nodes["mild"]["status"] == "pruned"
    assert nodes["service"]["output"]["status"] == 200
    assert len(nodes["read"]["output"]["content"]) == 1461  # large outputs stay whole
    assert [nodes[f"years.body.of_year[{at}]"]["status"] for at in range(4)] == ["success"] * 4
    others = {name: node["status"] for name, node in nodes.items() if name != "mild"}
    assert set(others.values()) == {"success"}


def check_head(output: dict[str, Any]) -> None:
    head = " ".join(SOURCE.read_text().partition("schema_version")[0].replace("#", " ").split())
    assert "1461 days, 623 with rain (42.6 %), the most on one day 55.9 mm" in head
    month, mm = output["rainiest_months"][0].removesuffix(" mm").split(": ")
    assert f"rainiest months: {month} {mm} mm" in head
    for found in output["years"]:
        assert f"{found['year']} {found['rain']}" in head
        assert f"({found['heavy_days']}" in head.partition(f"{found['year']} {found['rain']}")[2][:12]


def test_input_changes_what_is_asked_and_a_service_that_is_away_is_handled(run_example: Run) -> None:
    code, line = run_example("weather", heavy_mm=40, top=1, service="http://127.0.0.1:9")
    assert (code, line["output"]["service"]) == (0, "unreachable")
    assert line["nodes"]["service"]["error"]["code"] == "EXTERNAL_ERROR"
    assert line["output"]["rainiest_months"] == rainiest(1)
    heavy = [sum(day.rain > 40 for day in weather.of_year(name)) for name in weather.YEARS]
    assert [found["heavy_days"] for found in line["output"]["years"]] == heavy
