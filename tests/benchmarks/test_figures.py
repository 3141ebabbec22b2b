"""Ratios and verdicts, on numbers worked by hand."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.figures import figures_of
from benchmarks.measuring import Series
from benchmarks.report import print_figures, write_json

CHAIN = [
    Series("handwritten", [100.0, 300.0, 200.0]),  # median 200
    Series("isolated", [231.0, 229.0, 500.0]),  # median 231: 1.155
    Series("local", [40.0, 10.0, 90.0]),  # median 40: 0.2
    Series("computed", [60.0, 50.0]),  # median 55: 0.275
]


def test_a_ratio_is_of_medians_and_latency_may_be_at_most_the_bar() -> None:
    figures = figures_of("latency", "chain", CHAIN)

    assert [figure.ratio for figure in figures] == [1.0, 1.155, 0.2, 0.275]
    assert [figure.bar for figure in figures] == [None, 1.15, 0.2, None]
    assert [figure.is_met for figure in figures] == [None, False, True, None]
    assert (figures[2].low, figures[2].high, figures[2].samples) == (10.0, 90.0, 3)


def test_throughput_must_be_at_least_the_bar() -> None:
    series = [Series("handwritten", [100.0]), Series("isolated", [84.0]), Series("local", [110.0])]

    figures = figures_of("throughput", "one", series)

    assert [figure.bar for figure in figures] == [None, 0.85, 1.1]
    assert [figure.is_met for figure in figures] == [None, False, True]


def test_without_the_hand_written_side_there_is_no_ratio() -> None:
    with pytest.raises(ValueError, match="nothing to compare"):
        figures_of("latency", "one", [Series("local", [1.0])])


def test_the_table_and_the_file_say_the_same(tmp_path: Path) -> None:
    figures = figures_of("latency", "chain", CHAIN)
    text = io.StringIO()

    print_figures(Console(file=text, width=150), figures)
    write_json(tmp_path / "figures.json", figures)

    assert "1 of 2 bars met" in text.getvalue()
    assert "1.155" in text.getvalue()
    written = json.loads((tmp_path / "figures.json").read_text())["figures"]
    assert [figure["is_met"] for figure in written] == [None, False, True, None]
