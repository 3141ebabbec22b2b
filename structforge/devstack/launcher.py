"""Starts one command so that it never outlives the process that asked for it.

Run as a script by a bare interpreter (`python -I -S launcher.py OPTIONS -- COMMAND...`), so it imports the standard
library alone. Linux: the kernel sends the death signal when the parent dies, and the launcher becomes the command.
Elsewhere (no such call), the launcher stays as a watchdog between the two: end of file on the pipe says that the parent
is gone. A launcher, and no `preexec_fn`, because Python code between fork and exec may hang in a process with threads.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
PARENT_IS_GONE = 70


def launch(arguments: Sequence[str]) -> int:
    """Run the command in `arguments`; on Linux this returns only if the parent has died already."""
    options = _parse(arguments)
    command: list[str] = options.command
    if options.watchdog_fd is not None:
        return _watch(command, options.watchdog_fd, options.death_signal)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    _drop_privileges(options.user)
    # After the change of user, because the kernel forgets the death signal at it.
    if prctl(PR_SET_PDEATHSIG, options.death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != options.parent:
        return PARENT_IS_GONE
    return os.execv(command[0], command)  # noqa: S606


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--death-signal", type=int, default=int(signal.SIGTERM))
    parser.add_argument("--user", default="", help="uid:gid to become")
    parser.add_argument("--watchdog-fd", type=int, default=None)
    parser.add_argument("command", nargs="+")
    return parser.parse_args(arguments)


def _drop_privileges(user: str) -> None:
    if not user:
        return
    uid, gid = (int(part) for part in user.split(":"))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    os.chdir("/")


def _watch(command: Sequence[str], pipe: int, death_signal: int) -> int:
    child = subprocess.Popen(command, close_fds=True)  # noqa: S603

    def forward(number: int, _frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, number)

    def end_with_parent() -> None:
        while os.read(pipe, 1):
            pass
        forward(death_signal, None)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, forward)
    threading.Thread(target=end_with_parent, daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))
