"""The process tree of one isolated script: started, fed, read within bounds, and ended as a whole."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
from asyncio.subprocess import Process
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from engine.activities.clients.isolation import inner
from engine.activities.clients.isolation.seccomp import open_filter
from engine.activities.clients.isolation.view import interpreter, library_path, view_arguments

INTERPRETER_BYTES = 64 * 1024 * 1024  # address space that Python itself takes before it runs a line
_NAMESPACES = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
_NOBODY = "65534"
_MAX_INODES = 4096
_WATCH_INTERVAL_S = 0.05
_CHUNK_BYTES = 65_536

Excess = Literal["time", "printed", "result", "files", "unwatched"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one isolated script may use."""

    time_s: float
    memory_bytes: int
    tmp_bytes: int
    max_printed_bytes: int
    max_result_bytes: int

    def as_dict(self, result_fd: int, uid: int | None) -> dict[str, Any]:
        return {
            "result_fd": result_fd,
            "uid": uid,
            "cpu_s": max(1, round(self.time_s + 1)),
            "address_space_bytes": self.memory_bytes + INTERPRETER_BYTES,
            "file_bytes": max(self.tmp_bytes, 4096),
        }


@dataclass(slots=True)
class Child:
    """One running isolation. Use `start`, then `feed_and_read`, and always `end`."""

    process: Process
    result: asyncio.StreamReader
    info: asyncio.StreamReader
    limits: Limits
    handle: int | None  # None if it had ended before it could be taken
    printed: bytearray = field(default_factory=bytearray)
    answer: bytearray = field(default_factory=bytearray)
    excess: Excess | None = None

    @classmethod
    async def start(cls, bwrap: str, limits: Limits) -> Self:
        """Spawn it. The descriptors that it was given are closed here.

        Raises: OSError, NodeError INVALID_CONFIG if there is no filter of system calls.
        """
        given = [open_filter()]
        try:
            readers: list[asyncio.StreamReader] = []
            for _ in range(2):
                readable, writable = os.pipe()
                given.append(writable)
                readers.append(await _reader(readable))
            process = await _spawn(bwrap, limits, *given)
            return cls(process, readers[0], readers[1], limits, _handle_of(process))
        finally:
            for descriptor in given:
                os.close(descriptor)

    async def stands(self) -> bool:
        """Wait until the script's limits stand; False if the isolation could not be set up."""
        return await self.result.read(1) == b"+"

    async def feed_and_read(self, payload: bytes) -> None:
        """Hand over code and input and read until the whole tree has ended; what is past a limit ends it."""
        watch = asyncio.ensure_future(self._watch_files())
        try:
            async with asyncio.timeout(self.limits.time_s):
                await asyncio.gather(
                    self._feed(payload),
                    self._read(self.process.stdout, self.printed, self.limits.max_printed_bytes, "printed"),
                    self._read(self.result, self.answer, self.limits.max_result_bytes, "result"),
                )
                await self.process.wait()
        except TimeoutError:
            self._stop("time")
        finally:
            watch.cancel()
            await asyncio.wait([watch])

    async def end(self) -> None:
        """Kill whatever is left. The outer process's death is the death of the whole process namespace."""
        try:
            self._kill()
            await self.process.wait()
        finally:
            if self.handle is not None:
                os.close(self.handle)

    async def complaint(self) -> str:
        """What bubblewrap says of why it could not start."""
        assert self.process.stdout is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                self.printed += await self.process.stdout.read(_CHUNK_BYTES)
        lines = [line.strip() for line in self.printed.decode("utf-8", "replace").splitlines() if line.strip()]
        return lines[-1][:300] if lines else "it said nothing"

    def killed_by(self) -> int | None:
        """The signal that ended the script, None if it ended itself."""
        code = self.process.returncode or 0
        return code - 128 if code > 128 else None

    async def _feed(self, payload: bytes) -> None:
        stdin = self.process.stdin
        assert stdin is not None
        with suppress(ConnectionError):
            stdin.write(payload)
            await stdin.drain()
        stdin.close()

    async def _read(self, reader: asyncio.StreamReader | None, into: bytearray, limit: int, excess: Excess) -> None:
        assert reader is not None
        while part := await reader.read(_CHUNK_BYTES):
            into += part[: max(0, limit - len(into))]
            if len(into) >= limit:
                self._stop(excess)

    async def _watch_files(self) -> None:
        """End a script that fills /tmp with empty files: they take the kernel's memory, which no size limit counts."""
        if not self.limits.tmp_bytes:
            return
        pid = json.loads(await self.info.read())["child-pid"]
        place = f"/proc/{pid}/root/tmp"
        while True:
            try:
                status = os.statvfs(place)
            except FileNotFoundError:
                return
            except OSError:
                self._stop("unwatched")
                return
            if status.f_files - status.f_ffree > _MAX_INODES:
                self._stop("files")
                return
            await asyncio.sleep(_WATCH_INTERVAL_S)

    def _stop(self, excess: Excess) -> None:
        self.excess = self.excess or excess
        self._kill()

    def _kill(self) -> None:
        # By its handle: the process object's own `kill` takes the exit status away from the loop that waits for it.
        if self.handle is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.handle, signal.SIGKILL)


def _handle_of(process: Process) -> int | None:
    """None for one that ended at once and whose end the loop has taken note of already."""
    try:
        return os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None


async def _spawn(bwrap: str, limits: Limits, filter_fd: int, result_fd: int, info_fd: int) -> Process:
    uid = _strangers_uid() if os.geteuid() == 0 else None
    arguments = [
        *_rights(uid),
        *_NAMESPACES,
        *("--die-with-parent", "--new-session", "--hostname", "script"),
        *("--seccomp", str(filter_fd), "--info-fd", str(info_fd)),
        *view_arguments(limits.tmp_bytes),
        *_environment(),
        *("--", interpreter(), "-I", "-S", "-B", "-u", "-X", "utf8"),
        *("-c", _inner_text(), json.dumps(limits.as_dict(result_fd, uid))),
    ]
    return await asyncio.create_subprocess_exec(
        bwrap,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        pass_fds=(filter_fd, result_fd, info_fd),
        # Empty from the start: what bubblewrap itself was given could be read by others in its namespace.
        env={},
        cwd="/",
        process_group=0,
        umask=0o022,
    )


@cache
def _inner_text() -> str:
    return Path(inner.__file__).read_text("utf-8")


def _rights(uid: int | None) -> list[str]:
    """A user namespace for whoever is not root. Root has no use for one: the limit on processes would not bind inside,
    for the user would still be root to the kernel. It becomes another user inside instead."""
    if uid is None:
        return ["--unshare-user", "--uid", _NOBODY, "--gid", _NOBODY]
    return ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]


def _strangers_uid() -> int:
    """A user id that nobody has, another one for each run: limits on processes are counted by user."""
    ranges = [[int(part) for part in line.split()] for line in Path("/proc/self/uid_map").read_text().splitlines()]
    first, _, count = max(ranges, key=lambda item: item[0] + item[2])
    count = min(count, 2**31 - 1 - first)
    return first + count // 2 + secrets.randbelow(max(1, count // 2 - 2))


def _environment() -> list[str]:
    variables: Mapping[str, str | None] = {
        "HOME": "/tmp",  # noqa: S108
        "LANG": "C.UTF-8",
        "MALLOC_ARENA_MAX": "2",
        "LD_LIBRARY_PATH": library_path(),
    }
    return [part for name, value in variables.items() if value for part in ("--setenv", name, value)]


async def _reader(descriptor: int) -> asyncio.StreamReader:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0))
    return reader
