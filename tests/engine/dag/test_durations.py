from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dag.durations import LONGEST, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("250ms", timedelta(milliseconds=250)),
        ("30s", timedelta(seconds=30)),
        ("1.5s", timedelta(milliseconds=1500)),
        ("5m", timedelta(minutes=5)),
        ("1h30m", timedelta(minutes=90)),
        ("2d", timedelta(days=2)),
        (" 1h ", timedelta(hours=1)),
        ("PT1H30M", timedelta(minutes=90)),
        ("P1DT2H", timedelta(hours=26)),
        ("P2W", timedelta(days=14)),
        ("PT0.5S", timedelta(milliseconds=500)),
        ("0s", timedelta(0)),
    ],
)
def test_both_forms_are_read(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "5", "s", "5 s", "-5s", "5x", "P", "PT", "P1DT", "1h-", "٣s", "1s" * 33, "1s" * 32 + "x", "9" * 70 + "d"],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


@pytest.mark.parametrize("text", ["3651d", "9" * 50 + "d", "P600W"])
def test_more_than_ten_years_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="ten years"):
        parse_duration(text)


def test_the_shortest_text_is_written() -> None:
    assert [format_duration(timedelta(seconds=s)) for s in (0, 0.0005, 0.25, 90, 3600, 172800)] == [
        "0ms",
        "0.5ms",
        "250ms",
        "90s",
        "1h",
        "2d",
    ]


@given(st.timedeltas(min_value=timedelta(0), max_value=LONGEST))
def test_what_is_written_reads_back_the_same(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration
