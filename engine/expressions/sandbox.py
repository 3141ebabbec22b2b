"""The sandbox: a pool of Monty worker processes, driven from a few threads of its own.

The blocking client is used rather than the asynchronous one: a cancelled task then never waits for a busy worker
(the thread does, at most until the limits strike), a call takes 0.3 ms instead of 0.5, and the process can exit
right after a time-out, where the asynchronous client's runtime was seen to abort the interpreter (4 of 10 exits).
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from pydantic_monty import (
    CollectString,
    Monty,
    MontyCrashedError,
    MontyError,
    MontyRuntimeError,
    MontySyntaxError,
    OSPolicy,
    ResourceLimits,
)

from engine.errors import StructForgeError

MAX_PRINTED_BYTES = 1024 * 1024
KILLED_AFTER_S = 0.3
"""How long past its time limit a run that does not look at the clock, as in one long multiplication, may go on."""

PURE: OSPolicy = {
    "datetime": "call_host",
    "sleep": "call_host",
    "random_start": "call_host",
    "process_time": "zero",
}
"""Clock, sleep and randomness are asked of the host, which refuses."""

AWAKE: OSPolicy = {"sleep": "call_host"}
"""Of scripts: clock and randomness are there, but a sleeping script would hold a process for nothing."""

Reason = Literal["timeout", "memory", "crash", "error"]


class SandboxFailure(Exception):
    """A run ended without a result. `printed` is what it had printed by then, `line` where it ended, if known."""

    def __init__(self, reason: Reason, kind: str, message: str, printed: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.reason: Reason = reason
        self.kind = kind
        self.message = message
        self.printed = printed


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one run may use, and whether it may see clock and randomness. No run may sleep."""

    time_s: float
    memory_bytes: int
    pure: bool = True
    recursion: int = 400

    def limits(self) -> ResourceLimits:
        return {
            "max_feed_duration_secs": self.time_s,
            "max_memory": self.memory_bytes,
            "max_recursion_depth": self.recursion,
        }


def _refuse(*, name: str, args: Any, kwargs: Any, is_async: bool, **_: Any) -> NoReturn:
    raise PermissionError(f"{name} is not available in expressions")


def _refuse_script(*, name: str, args: Any, kwargs: Any, is_async: bool, **_: Any) -> NoReturn:
    hint = "; wait with a delay node" if name.endswith("sleep") else ""
    raise PermissionError(f"{name} is not available in this sandbox{hint}")


class Sandbox:
    """Runs program texts; each run has a fresh session and sees nothing of the others.

    With a `niceness` over 0 its processes give way to all others when processors are scarce.
    """

    def __init__(self, processes: int, *, niceness: int = 0) -> None:
        self._processes = processes
        self._niceness = niceness
        self._lowered: set[int] = set()
        self._pool: Monty | None = None
        self._threads: ThreadPoolExecutor | None = None

    async def start(self) -> None:
        """Spawn the workers. Starting again is harmless."""
        if self._threads is not None:
            return
        threads = ThreadPoolExecutor(self._processes, thread_name_prefix="evaluator")
        pool = Monty(
            min_processes=self._processes, max_processes=self._processes, feed_duration_limit_grace=KILLED_AFTER_S
        )
        self._pool = await asyncio.get_running_loop().run_in_executor(threads, pool.__enter__)
        self._threads = threads

    async def close(self) -> None:
        """Wait for what runs, at most as long as its limits, and end the workers."""
        threads, pool = self._threads, self._pool
        self._threads = self._pool = None
        if threads is None or pool is None:
            return
        await asyncio.to_thread(threads.shutdown, wait=True, cancel_futures=True)
        await asyncio.to_thread(pool.__exit__, None, None, None)

    async def run(self, code: str, inputs: dict[str, Any], bounds: Bounds) -> tuple[Any, str]:
        """Result of the last expression and printed text.

        Raises: SandboxFailure.
        """
        if self._threads is None:
            raise StructForgeError("the evaluator is not started", code="NOT_STARTED")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, code, inputs, bounds)

    def _run(self, code: str, inputs: dict[str, Any], bounds: Bounds) -> tuple[Any, str]:
        printed = CollectString(MAX_PRINTED_BYTES)
        try:
            result = self._feed(code, inputs, bounds, printed)
        except MontyError as error:
            raise _failure(error, printed.output) from None
        except (ValueError, TypeError, OverflowError, RecursionError) as error:  # data that cannot cross
            raise SandboxFailure("error", type(error).__name__, str(error), printed.output) from None
        return result, printed.output

    def _feed(self, code: str, inputs: dict[str, Any], bounds: Bounds, printed: CollectString) -> Any:
        if self._pool is None:
            raise StructForgeError("the evaluator is closed", code="NOT_STARTED")
        policy, host = (PURE, _refuse) if bounds.pure else (AWAKE, _refuse_script)
        with self._pool.checkout(limits=bounds.limits(), os_policy=policy) as session:
            if self._niceness:
                self._lower(session.worker_pid)
            return session.feed_run(code, inputs=inputs, print_callback=printed, os=host)

    def _lower(self, pid: int | None) -> None:
        if pid is None or pid in self._lowered:
            return
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, pid, self._niceness)
        self._lowered.add(pid)


def _failure(error: MontyError, printed: str) -> SandboxFailure:
    if isinstance(error, MontyCrashedError):
        reason: Reason = "timeout" if error.timed_out else "crash"
        return SandboxFailure(reason, "Crash", "the sandbox process ended", printed)
    inner = error.exception()
    reasons: dict[type[BaseException], Reason] = {TimeoutError: "timeout", MemoryError: "memory"}
    frames = error.traceback() if isinstance(error, MontyRuntimeError | MontySyntaxError) else []
    line = frames[-1].line if frames else None
    return SandboxFailure(reasons.get(type(inner), "error"), type(inner).__name__, str(inner), printed, line)
