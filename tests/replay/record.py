"""Record the histories again: `python -m tests.replay.record`, or `make histories`.

It runs the tests of the interpreter on real servers and writes the Temporal history of every execution in them, one
file for each, named by its test. Files whose test is gone stay: an old history must replay for as long as executions
of that time may run. `--fresh` begins with an empty folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "histories"
TESTS = Path(__file__).parent.parent / "engine" / "workflows"
NOT_RECORDED = ("test_volume.py", "test_against_reference.py")  # large, or many of one kind


def main(arguments: list[str]) -> int:
    FOLDER.mkdir(exist_ok=True)
    if "--fresh" in arguments:
        for path in FOLDER.glob("*.json"):
            path.unlink()
    files = [str(path) for path in sorted(TESTS.glob("test_*.py")) if path.name not in NOT_RECORDED]
    return int(pytest.main([*files, f"--record-histories={FOLDER}", "-p", "no:cacheprovider"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
