from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.errors import ValidationFailed
from engine.nodes.trigger.timer import TimerParams, timer_data
from tests.engine.nodes.running import codes, node_type, run

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def test_output_is_the_fire() -> None:
    fire = {"scheduled_at": "2026-03-01T12:00:00+00:00", "fired_at": "2026-03-01T12:00:01+00:00", "kind": "daily"}
    assert (await run("timer", {"every": "1h"}, upstream=fire)).output == fire


@pytest.mark.parametrize(
    "cron",
    [
        "* * * * *",
        "*/5 8-18 1,15 jan-jun mon-fri",
        "0 8 * * MON",
        "30 4 1 1 * 2030",
        "30 4 1 1 * 2030-2032/2,2040",
        "15 30 4 * * sun *",
        " @hourly ",
        "@daily",
        "@annually",
        "0 0 29 2 *",
    ],
)
def test_cron_lines_that_temporal_takes(cron: str) -> None:
    assert codes("timer", {"cron": cron}) == []


@pytest.mark.parametrize(
    "cron",
    [
        "* * * *",
        "* * * * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "5-1 * * * *",
        "*/0 * * * *",
        "a * * * *",
        "0 0 L * *",
        "0 0 LW * *",
        "0 0 15W * *",
        "0 0 * * 5L",
        "0 0 * * 1#2",
        "0 0 ? * *",
        "0 0 * * * 1999",
        "0 0 * * * 2040-2030",
        "0 0 * * * soon",
        "@reboot",
        "@every 5m",
        "TZ=Europe/Paris 0 0 * * *",
        "0 0 30 2 *",
    ],
)
def test_other_cron_lines_are_refused(cron: str) -> None:
    assert codes("timer", {"cron": cron}) == [("INVALID_PARAM", "params.cron")]


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({}, [("INVALID_PARAM", "params")]),
        ({"cron": "@daily", "every": "1h"}, [("INVALID_PARAM", "params")]),
        ({"every": "0s"}, [("INVALID_PARAM", "params.every")]),
        ({"every": 30}, [("INVALID_PARAM", "params.every")]),
        ({"at": "tomorrow"}, [("INVALID_PARAM", "params.at")]),
        ({"every": "1h", "timezone": "Mars/Base"}, [("INVALID_PARAM", "params.timezone")]),
        ({"every": "1h", "timezone": "../../etc/passwd"}, [("INVALID_PARAM", "params.timezone")]),
        ({"every": "1h", "input": [1]}, [("INVALID_PARAM", "params.input")]),
        ({"every": "1h", "input": {"a": "{{ vars.x }}"}}, [("INVALID_PARAM", "params.input.a")]),
        ({"every": "{{ vars.x }}"}, [("INVALID_PARAM", "params.every")]),
    ],
)
def test_bad_parameters_are_found(params: dict[str, Any], found: list[tuple[str, str]]) -> None:
    assert codes("timer", params) == found


def test_a_time_without_offset_is_in_the_time_zone() -> None:
    named = TimerParams.model_validate({"at": "2030-07-01T08:00:00", "timezone": "Europe/Paris"})
    assert named.moment is not None
    assert named.moment.utcoffset() == timedelta(hours=2)
    given = TimerParams.model_validate({"at": "2030-07-01T08:00:00-05:00", "timezone": "Europe/Paris"})
    assert given.moment == datetime(2030, 7, 1, 13, tzinfo=UTC)
    assert TimerParams.model_validate({"every": "1h"}).moment is None


def test_input_stands_beside_the_times_and_never_replaces_them() -> None:
    params = TimerParams.model_validate({"every": "1h", "input": {"kind": "daily", "fired_at": "never"}})
    assert timer_data(params, NOW, NOW + timedelta(seconds=1)) == {
        "kind": "daily",
        "scheduled_at": "2026-03-01T12:00:00+00:00",
        "fired_at": "2026-03-01T12:00:01+00:00",
    }


def test_a_start_by_hand_fires_now_with_the_input_of_both() -> None:
    kind, params = node_type("timer"), {"every": "1h", "input": {"kind": "daily"}}
    now = NOW.isoformat()
    assert kind.data_by_hand(params, {"more": 1}, NOW) == {
        "kind": "daily",
        "scheduled_at": now,
        "fired_at": now,
        "more": 1,
    }
    with pytest.raises(ValidationFailed):
        kind.data_by_hand(params, [1], NOW)
