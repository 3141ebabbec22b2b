"""Add histories: `make histories`, or `python -m tests.replay.record [TESTS ...] [--as LABEL]`.

It runs tests on real servers and keeps the Temporal histories of every execution in them, named by the test. A name
that is there already is left as it is, because it is what some user's execution looks like; so a new path of the
interpreter needs a new test. With a label, such as a release, the names of all tests are new: `name@LABEL`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

from tests.replay.stored import FOLDER

TESTS = Path(__file__).parents[1]
# Whatever runs the interpreter; not the tests that make thousands of events.
RECORDED = (
    *sorted(path for path in TESTS.glob("engine/workflows/test_*.py") if path.name != "test_volume.py"),
    TESTS / "engine/activities/notifications/test_delivering.py",
    TESTS / "examples/test_node_types.py",
)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.replay.record")
    parser.add_argument("tests", nargs="*", default=[str(path) for path in RECORDED])
    parser.add_argument("--as", dest="label", default="", help="a label at the end of every name")
    parser.add_argument("--into", default=str(FOLDER), help="another folder")
    given = parser.parse_args(arguments)
    Path(given.into).mkdir(parents=True, exist_ok=True)
    options = [f"--record-histories={given.into}", f"--label-histories={given.label}"]
    return int(pytest.main([*given.tests, *options, "-p", "no:cacheprovider"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
