"""`structforge up` with a plugin folder: plugins are described, their workers started and started again."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.plugins.places import write_plugin
from tests.structforge.cli.served import ROOT, command, environment, gone, serving


def worker_pids(data_dir: Path, queue: str) -> list[int]:
    found: list[int] = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if line[-2:] == ["--queues", queue] and process.environ().get("STRUCTFORGE_DATA_DIR") == str(data_dir):
            found.append(process.pid)
    return found


@pytest.mark.slow
def test_example_runs_and_workers_of_other_queues_are_kept_alive(example_folder: Path) -> None:
    write_plugin(example_folder, "apart", manifest='task_queue = "apart"\n')
    write_plugin(example_folder, "broken", code="1 / 0")
    plugins = {
        "STRUCTFORGE_PLUGINS__FOLDER": str(example_folder),
        "STRUCTFORGE_WORKER__ROUTES": '{"barcode.check": "b"}',
    }
    with serving(**plugins) as data_dir:
        assert (example_folder / "barcode" / "description.json").exists()
        assert run(data_dir, example_folder / "stock.yaml", plugins) == {"good": 2, "mistyped": ["4006381333932"]}
        (first,) = worker_pids(data_dir, "apart")
        psutil.Process(first).kill()
        document = example_folder / "greet.yaml"
        document.write_text("name: greet\nnodes: [{id: a, type: apart.greet}]\n")
        assert run(data_dir, document, plugins) == {"a": "hello"}
        assert first not in worker_pids(data_dir, "apart")
    assert gone(data_dir)


def run(data_dir: Path, document: Path, plugins: dict[str, str]) -> object:
    """The outputs of a document that `structforge run` ran."""
    done = subprocess.run(
        command("run", document, "--json"), cwd=ROOT, env=environment(data_dir, **plugins),
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])["output"]
