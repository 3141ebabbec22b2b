"""One supervised child process: started through the launcher, stopped with a deadline, its output in a log file."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

LAUNCHER = Path(__file__).with_name("launcher.py")
MAX_LOG_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class Command:
    """What to run and how it is told to end. `user` is `uid:gid`, or empty for the user of this process."""

    name: str
    argv: Sequence[str]
    log: Path
    environment: Mapping[str, str] | None = None
    user: str = ""
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGTERM


@dataclass(slots=True)
class Child:
    """A started command. Ends with this process whatever happens to it, kill -9 included."""

    command: Command
    process: asyncio.subprocess.Process
    _pipe: int | None = field(default=None, repr=False)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def ended(self) -> bool:
        return self.process.returncode is not None

    async def wait(self) -> int:
        """Exit code of the child; negative is the number of the signal that ended it."""
        code = await self.process.wait()
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
        return code

    async def stop(self, deadline_s: float) -> None:
        """Ask the child to end, and kill it after `deadline_s` seconds."""
        self._signal(self.command.stop_signal)
        try:
            await asyncio.wait_for(self.wait(), deadline_s)
        except TimeoutError:
            self._kill_tree()
            await self.wait()

    def _kill_tree(self) -> None:
        descendants: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            descendants = psutil.Process(self.pid).children(recursive=True)
        self._signal(signal.SIGKILL)
        for process in descendants:
            with contextlib.suppress(psutil.Error):
                process.kill()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)


async def start(command: Command, *, watchdog: bool = sys.platform != "linux") -> Child:
    """Start `command` in a session of its own, so that Ctrl-C in a terminal reaches this process alone.

    Call it from the thread that runs the event loop, and keep that thread: on Linux the child dies with it.
    """
    reader, writer = os.pipe() if watchdog else (None, None)
    log = _open_log(command.log)
    try:
        process = await asyncio.create_subprocess_exec(
            *_launcher_argv(command, reader),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=None if command.environment is None else dict(command.environment),
            start_new_session=True,
            pass_fds=() if reader is None else (reader,),
        )
    finally:
        os.close(log)
        if reader is not None:
            os.close(reader)
    return Child(command, process, writer)


async def run(command: Command) -> int:
    """Run `command` to its end and return its exit code; a cancellation ends it too."""
    child = await start(command)
    try:
        return await child.wait()
    finally:
        if not child.ended:
            await child.stop(1)


def _launcher_argv(command: Command, watchdog_fd: int | None) -> list[str]:
    options = ["--parent", str(os.getpid()), "--death-signal", str(int(command.death_signal))]
    if command.user:
        options += ["--user", command.user]
    if watchdog_fd is not None:
        options += ["--watchdog-fd", str(watchdog_fd)]
    return [sys.executable, "-I", "-S", str(LAUNCHER), *options, "--", *command.argv]


def _open_log(path: Path) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def log_tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, for the message that says why a process did not start."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 8192))
        text = file.read().decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-lines:])
