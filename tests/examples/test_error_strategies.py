"""Every error strategy: what each node ends as, and what goes on behind it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.examples.conftest import Run


def statuses(line: dict[str, Any]) -> dict[str, str]:
    return {name: node["status"] for name, node in line["nodes"].items() if "[" not in name}


def test_every_failure_is_handled_as_its_node_says(run_example: Run) -> None:
    code, line = run_example("error_strategies")
    assert (code, line["status"]) == (0, "success")
    assert statuses(line) == {
        "start": "success",
        "unreliable": "failed",  # retry, then continue
        "apology": "success",
        "missing": "failed",  # continue, by its error edge
        "replacement": "success",
        "divide": "failed",  # continue
        "noticed": "success",
        "given": "success",
        "enrich": "skipped",
        "passed_on": "success",
        "lookup": "skipped",  # retry, then skip
        "each": "success",
        "strict": "failed",  # continue
        "last": "skipped",  # when
    }
    assert line["nodes"]["unreliable"]["attempts"] == 3
    assert line["nodes"]["lookup"]["attempts"] == 1  # no further attempt makes a file appear
    assert line["output"] == {
        "answer": "no answer: EXTERNAL_ERROR",
        "replacement": "in place of it: EXTERNAL_ERROR",
        "noticed": "EXPRESSION_ERROR",
        "passed_on": [True],
        "looked_up": {"kept": True},
        "each": [0.25, "EXPRESSION_ERROR", 0.5],  # 1/4, 1/0, 1/2
        "strict": "EXPRESSION_ERROR",
    }


class Flaky(BaseHTTPRequestHandler):
    """Busy twice, then well; counts what it was asked."""

    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        body = b"at last"
        self.send_response(503 if self.asked < 3 else 200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


@pytest.fixture
def flaky() -> Iterator[str]:
    Flaky.asked = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Flaky) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_service_that_recovers_is_asked_until_it_answers(run_example: Run, flaky: str) -> None:
    code, line = run_example("error_strategies", unreliable=flaky)
    assert (code, Flaky.asked) == (0, 3)
    assert (line["nodes"]["unreliable"]["status"], line["nodes"]["unreliable"]["attempts"]) == ("success", 3)
    assert line["nodes"]["apology"]["status"] == "pruned"
    assert line["output"]["answer"] == "at last"


def test_a_failure_that_nothing_handles_runs_the_handlers(run_example: Run, files: Path) -> None:
    note = files / "reports" / "failure.json"
    note.unlink(missing_ok=True)
    code, line = run_example("error_strategies", **{"break": True})
    assert (code, line["status"], line["error"]["code"]) == (1, "failed", "EXPRESSION_ERROR")
    assert (statuses(line)["last"], statuses(line)["record"]) == ("failed", "success")
    written = json.loads(note.read_text())
    assert (written["code"], written["noticed"]) == ("EXPRESSION_ERROR", "EXPRESSION_ERROR")
    assert "division by zero" in written["message"]
