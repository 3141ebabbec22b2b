"""Starts the servers of tests so that they end with the tests, even when those are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from structforge.devstack.process import LAUNCHER


def launch(
    command: Sequence[str],
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own; what it writes goes to `log` in the folder.

    Call it from the main thread: on Linux the command dies with the thread that started it.
    """
    argv = [*command]
    if sys.platform == "linux":
        options = ["--parent", str(os.getpid()), "--death-signal", str(int(death_signal))]
        argv = [sys.executable, "-I", "-S", str(LAUNCHER), *options, "--", *command]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(argv, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
