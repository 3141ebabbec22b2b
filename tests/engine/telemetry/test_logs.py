"""Lines of processes: JSON with what they are about, and without secrets."""

from __future__ import annotations

import base64
import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import structlog

from engine.activities.observability import secrets_of
from engine.nodes.outbound.redaction import Redaction
from engine.settings import Settings
from engine.telemetry import configure_logging
from engine.telemetry.context import Bound, binding, execution_bound

SECRET = "s3cr3t-of-the-process"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging("worker", json_lines=True, redact=Redaction([SECRET]).text)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.contextvars.unbind_contextvars("role")


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_names_what_its_task_works_on(written: io.StringIO) -> None:
    execution = uuid4()
    with binding(execution_bound("t-1", str(execution), "body.call")) as work:
        logging.getLogger("somewhere").warning("it is %d", 3)
    logging.getLogger("somewhere").warning("no more")
    inside, outside = lines(written)
    assert inside["event"] == "it is 3"
    assert (inside["tenant"], inside["execution_id"], inside["node"]) == ("t-1", str(execution), "body.call")
    assert (inside["trace_id"], inside["span_id"]) == (execution.hex, f"{work.span:016x}")
    assert (inside["role"], inside["level"], inside["logger"]) == ("worker", "warning", "somewhere")
    assert "execution_id" not in outside


def test_lines_of_temporals_library_name_the_execution_too(written: io.StringIO) -> None:
    execution = uuid4()
    facts = {"workflow_id": f"t-1:{execution}", "activity_type": "execute_node"}
    logging.getLogger("temporalio.activity").warning("failed", extra={"temporal_activity": facts})
    (line,) = lines(written)
    assert (line["tenant"], line["execution_id"], line["trace_id"]) == ("t-1", str(execution), execution.hex)


def test_secrets_of_the_process_are_in_no_part_of_a_line(written: io.StringIO) -> None:
    try:
        raise ValueError(f"could not use {SECRET}")
    except ValueError:
        logging.getLogger("a").exception("with %s", SECRET)
    structlog.get_logger("b").warning("given", address=f"redis://:{SECRET}@host", more={"deep": [SECRET]})
    logging.getLogger("c").warning("encoded %s", base64.b64encode(SECRET.encode()).decode())
    text = written.getvalue()
    assert len(lines(written)) == 3
    assert SECRET not in text
    assert base64.b64encode(SECRET.encode()).decode() not in text
    assert "Traceback" in lines(written)[0]["exception"]


def test_secrets_of_a_node_are_not_in_its_lines(written: io.StringIO) -> None:
    with binding(Bound(redact=Redaction(["token-of-a-credential"]).text)):
        logging.getLogger("a").warning("sent token-of-a-credential")
    assert lines(written)[0]["event"] == "sent [redacted]"


def test_lines_below_the_level_are_left_out(written: io.StringIO) -> None:
    logging.getLogger("a").debug("no")
    logging.getLogger("a").info("yes")
    assert [line["event"] for line in lines(written)] == ["yes"]


def test_readable_lines_hold_the_same(monkeypatch: pytest.MonkeyPatch, written: io.StringIO) -> None:
    monkeypatch.setattr(sys, "stderr", written)
    configure_logging("worker", json_lines=False, redact=Redaction([SECRET]).text)
    with binding(execution_bound("t-1", str(uuid4()), "call")):
        logging.getLogger("a").warning("with %s", SECRET)
    text = written.getvalue()
    assert "with [redacted]" in text
    assert "call" in text


def test_the_secrets_of_the_settings_are_known_in_every_form() -> None:
    settings = Settings().override(
        {
            "api": {"key": "sf_the-key-of-the-api"},
            "database": {"url": "postgresql://app:p%40ssword-of-it@db/x"},
            "redis": {"url": "redis://valkey:6379/0"},
            "encryption": {"keys": '{"active": "k1", "keys": {"k1": "c2l4dGVlbi1ieXRlcy1vZi1pdA=="}}'},
        }
    )
    assert secrets_of(settings) == [
        "c2l4dGVlbi1ieXRlcy1vZi1pdA==",
        "p%40ssword-of-it",
        "p@ssword-of-it",
        "sf_the-key-of-the-api",
    ]
