"""A row as a Temporal Schedule, and the mark in its note."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import ScheduleOverlapPolicy

from engine.activities.schedules.mapping import OVERLAPS, Mark, digest_of, read_mark, runs_left, temporal_schedule
from models.repositories.schedules import Desired
from models.tables import Schedule

MARK = Mark("a1b2", 3, 7)


def row(**fields: Any) -> Schedule:
    way = {} if {"cron", "every_s", "at"} & fields.keys() else {"every_s": 60.0}
    return Schedule(tenant_id=uuid4(), id=uuid4(), workflow_id=uuid4(), name="nightly", **way, **fields)


def test_a_mark_is_read_from_the_note_that_holds_it() -> None:
    assert read_mark(str(MARK)) == MARK


@pytest.mark.parametrize("note", [None, "", "paused by hand", "kept equal to its row by StructForge (x y z)"])
def test_a_note_of_somebody_else_is_no_mark(note: str | None) -> None:
    assert read_mark(note) is None


def test_cron_line_and_time_zone_pass_as_they_are() -> None:
    spec = temporal_schedule(
        Desired(row(cron="0 8 * * mon", timezone="Europe/Paris"), "w"), "q", MARK, remaining=None
    ).spec
    assert (list(spec.cron_expressions), spec.time_zone_name, list(spec.intervals)) == (
        ["0 8 * * mon"],
        "Europe/Paris",
        [],
    )


def test_a_time_becomes_the_one_calendar_entry_of_that_moment_in_utc() -> None:
    at = datetime(2030, 1, 31, 8, 5, 6, tzinfo=timezone(timedelta(hours=1)))
    spec = temporal_schedule(Desired(row(at=at, timezone="Europe/Paris"), "w"), "q", MARK, remaining=None).spec
    (entry,) = spec.calendars
    parts = [entry.year, entry.month, entry.day_of_month, entry.hour, entry.minute, entry.second]
    assert [ranges[0].start for ranges in parts] == [2030, 1, 31, 7, 5, 6]
    assert spec.time_zone_name == "UTC"


@pytest.mark.parametrize("name", OVERLAPS)
def test_overlap_policies_are_temporals_of_the_same_name(name: str) -> None:
    made = temporal_schedule(Desired(row(overlap=name), "w"), "q", MARK, remaining=None)
    assert made.policy.overlap is ScheduleOverlapPolicy[name.upper()]


@pytest.mark.parametrize(
    ("enabled", "paused", "stands"), [(True, False, False), (True, True, True), (False, False, True)]
)
def test_a_schedule_stands_still_if_it_is_paused_or_not_enabled(enabled: bool, paused: bool, stands: bool) -> None:
    made = temporal_schedule(Desired(row(enabled=enabled, paused=paused), "w"), "q", MARK, remaining=None)
    assert made.state.paused is stands


def test_the_digest_changes_with_each_part_that_temporal_gets_and_with_no_other() -> None:
    base = row(cron="0 8 * * *")
    digest = digest_of(Desired(base, "w"), "q")
    changes: list[dict[str, Any]] = [
        {"cron": "1 8 * * *"}, {"timezone": "Asia/Tokyo"}, {"jitter_s": 5.0}, {"overlap": "allow_all"},
        {"catchup_window_s": 60.0}, {"starts_at": datetime.now(UTC)}, {"ends_at": datetime.now(UTC)}, {"max_runs": 2},
        {"enabled": False}, {"paused": True}, {"input": {"v": 1, "n": 1}}, {"name": "daily"}, {"trigger_node": "t"},
    ]  # fmt: skip
    others = {digest_of(Desired(base.model_copy(update=change), "w"), "q") for change in changes}
    assert len(others | {digest}) == len(changes) + 1
    assert (
        digest_of(Desired(base.model_copy(update={"revision": 9, "updated_at": datetime.now(UTC)}), "w"), "q") == digest
    )


@pytest.mark.parametrize(
    ("max_runs", "mark", "left", "done", "expected"),
    [
        (None, MARK, 0, 5, None),
        (3, MARK, 2, 1, 2),  # what Temporal counts down stays
        (10, MARK, 2, 1, 9),  # a new bound counts what has run
        (2, MARK, 2, 5, 0),
        (4, None, 0, 1, 3),  # somebody else's note
    ],
)
def test_runs_that_are_left(
    max_runs: int | None, mark: Mark | None, left: int, done: int, expected: int | None
) -> None:
    assert runs_left(row(max_runs=max_runs), mark, left, done) == expected
