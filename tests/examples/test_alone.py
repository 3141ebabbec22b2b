"""`structforge run` and `demo` where no server runs: one is started for the call, and nothing of it stays."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.structforge.cli.served import ROOT, command, environment, gone
from tests.structforge.devstack.conftest import open_folder

WAITS = """
name: waits
nodes:
- {id: start, type: manual}
- {id: wait, type: delay, params: {delay: 10m}}
edges: [{source: start, target: wait}]
"""


def test_the_demo_brings_its_own_server_and_takes_it_away() -> None:
    with open_folder() as data_dir:
        ended = subprocess.run(
            command("demo"), cwd="/", env=environment(data_dir) | {"PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, timeout=1200,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        assert json.loads(ended.stdout)["service"] == "up"
        assert "starting one for this call" in ended.stderr
        assert "may call 127.0.0.1" in ended.stderr
        assert "placed examples/seattle-weather.csv" in ended.stderr
        assert "✓ years (loop)" in ended.stderr
        assert gone(data_dir)


def test_ctrl_c_cancels_the_execution_and_takes_the_server_away(tmp_path: Path) -> None:
    path = tmp_path / "waits.yaml"
    path.write_text(WAITS)
    with open_folder() as data_dir:
        process = subprocess.Popen(
            command("run", path, "--json"),
            cwd=ROOT, env=environment(data_dir), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stderr is not None
        for line in process.stderr:
            if "✓ start" in line:
                break
        process.send_signal(2)
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 130
        assert json.loads(out.splitlines()[-1])["status"] == "cancelled"
        assert gone(data_dir)


@pytest.mark.parametrize("number", [2, 15])
def test_a_signal_while_the_server_starts_leaves_nothing(number: int) -> None:
    with open_folder() as data_dir:
        process = subprocess.Popen(
            command("run", "examples/nested.yaml"),
            cwd=ROOT, env=environment(data_dir), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stderr is not None
        assert "no server is running" in process.stderr.readline()
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out) == (128 + number, "")
        assert "Traceback" not in err
        assert gone(data_dir)
