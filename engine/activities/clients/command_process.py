"""One process of a registered command: a clean environment, a session of its own, bounded output, ended as a whole."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from engine.errors import EXTERNAL_ERROR, OUTPUT_TOO_LARGE, TIMEOUT, NodeError
from engine.nodes.scripting.ports import CommandOutcome

_CHUNK_BYTES = 65_536
_INTERVAL_S = 0.05
_LINGERING_S = 0.5  # how long what a command left running in the background may still write


class _TooMuch(Exception):
    """The command wrote more than it may; it has been ended."""


async def run_process(
    name: str, argv: Sequence[str], *, environment: Mapping[str, str], timeout_s: float, max_output_bytes: int
) -> CommandOutcome:
    """Run a program in an empty folder of its own and wait until it has ended; nothing of its process group survives.

    Raises: NodeError TIMEOUT, OUTPUT_TOO_LARGE, EXTERNAL_ERROR.
    """
    with tempfile.TemporaryDirectory(prefix="structforge-command-", ignore_cleanup_errors=True) as folder:
        process = await _spawn(name, argv, environment, folder)
        try:
            async with asyncio.timeout(timeout_s):
                stdout, stderr = await _outputs(process, max_output_bytes)
        except TimeoutError:
            message = f"{name} did not end within {timeout_s:g} s"
            raise NodeError(message, code=TIMEOUT, details={"command": name}, retryable=True) from None
        except _TooMuch:
            message = f"{name} wrote more than {max_output_bytes} bytes"
            raise NodeError(message, code=OUTPUT_TOO_LARGE, details={"command": name}) from None
        finally:
            await _end_group(process)
        assert process.returncode is not None
        return CommandOutcome(process.returncode, _text(stdout), _text(stderr))


async def _spawn(name: str, argv: Sequence[str], environment: Mapping[str, str], folder: str) -> Process:
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *argv,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            env={"PATH": "/usr/bin:/bin", **environment},
            cwd=folder,
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        # Cancelled half-way, asyncio ends the program alone, and waits as long as something of it holds the pipes.
        await asyncio.wait([starting])
        if not starting.cancelled() and starting.exception() is None:
            await _end_group(starting.result())
        raise
    except OSError as error:
        message = f"{name} cannot be started: {error.strerror}"
        raise NodeError(message, code=EXTERNAL_ERROR, details={"command": name}) from None


async def _outputs(process: Process, limit: int) -> tuple[bytes, bytes]:
    """Both outputs, which together stay under `limit` bytes, once the process has ended.

    Raises: _TooMuch.
    """
    stdout, stderr = bytearray(), bytearray()
    async with asyncio.TaskGroup() as group:
        readers = [
            group.create_task(_read(process, stream, into, lambda: limit - len(stdout) - len(stderr)))
            for stream, into in ((process.stdout, stdout), (process.stderr, stderr))
        ]
        open_still: set[asyncio.Task[None]] = set(readers)
        # Not `process.wait`, which waits for the ends of the pipes too, and a program in the background may hold them.
        while open_still and process.returncode is None:
            _, open_still = await asyncio.wait(open_still, timeout=_INTERVAL_S)
        if open_still:
            _, open_still = await asyncio.wait(open_still, timeout=_LINGERING_S)
        for reader in open_still:
            reader.cancel()
        await _exited(process)
    if len(stdout) + len(stderr) > limit:
        raise _TooMuch
    return bytes(stdout), bytes(stderr)


async def _read(
    process: Process, stream: asyncio.StreamReader | None, into: bytearray, room: Callable[[], int]
) -> None:
    assert stream is not None
    while room() >= 0 and (part := await stream.read(_CHUNK_BYTES)):
        into += part
    if room() < 0:
        _kill_group(process)


async def _exited(process: Process) -> None:
    """For a program that has closed its outputs and goes on; asyncio has no event for the end of a process alone."""
    while process.returncode is None:  # noqa: ASYNC110
        await asyncio.sleep(_INTERVAL_S)


async def _end_group(process: Process) -> None:
    """Kill the command and all of its session that it has not moved away; then no zombie is left."""
    _kill_group(process)
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGERING_S):
            await process.wait()
    # What has moved to a session of its own may hold the pipes still; here they are closed.
    cast("Any", process)._transport.close()


def _kill_group(process: Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\0", "\ufffd")
