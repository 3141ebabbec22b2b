"""`structforge up` as a process of its own, for commands that talk to a server."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import psutil
import pytest

from tests.structforge.devstack.conftest import FREE_PORTS, open_folder

ROOT = Path(__file__).parents[3]


def environment(data_dir: Path, **more: str) -> dict[str, str]:
    """Free ports and this data folder, and no setting of the person who runs the tests."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("STRUCTFORGE_")}
    inherited.pop("TEMPORAL_ADDRESS", None)
    ports = {f"STRUCTFORGE_EMBEDDED__{name.upper()}": str(port) for name, port in FREE_PORTS.items()}
    patience = {"STRUCTFORGE_EMBEDDED__START_TIMEOUT_S": "180"}
    return inherited | ports | patience | {"STRUCTFORGE_DATA_DIR": str(data_dir), "STRUCTFORGE_API__PORT": "0"} | more


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "structforge", *map(str, arguments)]


@contextlib.contextmanager
def serving(**more: str) -> Generator[Path]:
    """The data folder of a server that is ready."""
    with open_folder() as data_dir:
        process = subprocess.Popen(
            command("up"), cwd=ROOT, env=environment(data_dir, **more), stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            lines: list[str] = []
            for line in process.stdout:
                lines.append(line)
                if line.startswith("ready "):
                    break
            else:
                raise AssertionError(f"the server did not start: {lines[-5:]}")
            yield data_dir
        finally:
            process.terminate()
            process.wait(60)


_shared: list[Path] = []


def shared_server(config: pytest.Config) -> Path:
    """One server for all tests of a session that need no other; workflows on it may call this machine."""
    if not _shared:
        server = serving(STRUCTFORGE_HTTP__ALLOWED_HOSTS='["127.0.0.1"]')
        _shared.append(server.__enter__())
        config.add_cleanup(lambda: server.__exit__(None, None, None))
    return _shared[0]


def processes_of(data_dir: Path) -> list[str]:
    """Command lines of all processes that have this folder in their command line or environment."""
    found: list[str] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE and (
                str(data_dir) in line or process.environ().get("STRUCTFORGE_DATA_DIR") == str(data_dir)
            ):  # fmt: skip
                found.append(line)
    return found


def gone(data_dir: Path) -> bool:
    """Whether all processes of this folder end; those that end by the death of their parents take a moment."""
    deadline = time.monotonic() + 20
    while processes_of(data_dir) and time.monotonic() < deadline:
        time.sleep(0.1)
    return processes_of(data_dir) == []
