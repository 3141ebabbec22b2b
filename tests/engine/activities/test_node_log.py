from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import cast
from uuid import uuid4

import pytest

from engine.activities.logs import LogWriter
from engine.activities.node_log import MAX_LINES, MAX_MESSAGE, NodeLog
from models.repositories.logs import LogLine
from models.tenancy import mint_tenant

SECRET = "tr0ub4dor & 3"


class Lines(list[LogLine]):
    """Takes the place of the writer, which needs a server that these tests do not."""

    def write(self, line: LogLine) -> None:
        self.append(line)


def _log(lines: Lines, level: str = "debug") -> NodeLog:
    writer = cast("LogWriter", lines)
    return NodeLog(writer, mint_tenant(uuid4()), uuid4(), "a.body.b", (3,), 2, level, [SECRET])


def test_a_line_says_where_it_comes_from() -> None:
    lines = Lines()
    _log(lines)("info", "hello", {"n": 1})
    assert (lines[0].node_path, lines[0].iteration, lines[0].attempt) == ("a.body.b", (3,), 2)
    assert (lines[0].level, lines[0].message, lines[0].fields) == ("info", "hello", {"n": 1})


@pytest.mark.parametrize(("level", "kept"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_lines_below_the_level_are_left_out(level: str, kept: int) -> None:
    lines = Lines()
    log = _log(lines, level)
    for one in ("debug", "info", "warning", "error"):
        log(one, one, {})
    assert len(lines) == kept


def test_the_secrets_of_the_credential_are_in_no_line_in_no_form() -> None:
    lines = Lines()
    encoded = b64encode(SECRET.encode()).decode()
    _log(lines)("info", f"it is {SECRET}, or {encoded}", {"at": {SECRET: [SECRET]}, "url": "tr0ub4dor%20%26%203"})
    text = repr(lines[0])
    assert SECRET not in text
    assert encoded not in text
    assert "tr0ub4dor" not in text


def test_a_secret_at_the_cut_of_a_long_message_is_not_left_half() -> None:
    lines = Lines()
    _log(lines)("info", "x" * (MAX_MESSAGE - 4) + SECRET, {})
    assert "tr0u" not in lines[0].message
    assert len(lines[0].message) <= MAX_MESSAGE + 2


def test_fields_become_json_data_within_bounds() -> None:
    lines = Lines()
    log = _log(lines)
    log("info", "odd", {"at": datetime(2026, 1, 2, tzinfo=UTC), "set": {1}, "n": float("nan")})
    log("info", "large", {"text": "x" * 100_000})
    log("info", "long", {"text": "x" * 9_000})
    assert lines[0].fields == {"at": "2026-01-02T00:00:00+00:00", "set": "{1}", "n": None}
    assert set(lines[1].fields or {}) == {"too_large_bytes"}
    assert set(lines[2].fields or {}) == {"too_large_bytes"}


def test_a_chatty_attempt_is_cut_off_and_says_so_once() -> None:
    lines = Lines()
    log = _log(lines)
    for number in range(MAX_LINES + 50):
        log("info", str(number), {})
    assert len(lines) == MAX_LINES + 1
    assert lines[-1].level == "warning"


def test_a_failed_attempt_is_a_warning_while_there_is_another_and_an_error_then() -> None:
    lines = Lines()
    log = _log(lines)
    error = {"code": "TIMEOUT", "message": "too slow", "details": {}}
    log.failed(error, 1.5)
    log.failed(error)
    assert [(line.level, line.message) for line in lines] == [
        ("warning", "attempt 2 failed, the next in 1.5 s: TIMEOUT: too slow"),
        ("error", "TIMEOUT: too slow"),
    ]


def test_a_defect_shows_its_stack() -> None:
    lines = Lines()
    try:
        {}["missing"]
    except KeyError as error:
        _log(lines).defect(error)
    assert lines[0].level == "error"
    assert "test_a_defect_shows_its_stack" in (lines[0].fields or {})["stack"]


def test_without_a_writer_lines_go_nowhere() -> None:
    NodeLog(None, mint_tenant(uuid4()), uuid4())("error", "unheard", {})


def test_a_secret_that_is_learned_later_is_in_no_later_line() -> None:
    lines = Lines()
    log = _log(lines)
    log("info", "first", {})
    log.secrets = ["renewed token"]
    log("info", "it is renewed token", {})
    assert "renewed token" not in lines[1].message
