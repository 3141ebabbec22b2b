"""The sandbox: a pool of Monty worker processes, driven from a few threads of its own.

The blocking client is used rather than the asynchronous one: a cancelled task then never waits for a busy worker
(the thread does, at most until the limits strike), a call takes 0.3 ms instead of 0.5, and the process can exit
right after a time-out, where the asynchronous client's runtime was seen to abort the interpreter (4 of 10 exits).
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from pydantic_monty import CollectString, Monty, MontyCrashedError, MontyError, OSPolicy, ResourceLimits

from engine.errors import StructForgeError

MAX_PRINTED_BYTES = 1024 * 1024

PURE: OSPolicy = {
    "datetime": "call_host",
    "sleep": "call_host",
    "random_start": "call_host",
    "process_time": "zero",
}
"""Clock, sleep and randomness are asked of the host, which refuses."""

Reason = Literal["timeout", "memory", "crash", "error"]


class SandboxFailure(Exception):
    """A run ended without a result. `printed` is what it had printed by then."""

    def __init__(self, reason: Reason, kind: str, message: str, printed: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.kind = kind
        self.message = message
        self.printed = printed


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one run may use, and whether it may see clock and randomness."""

    time_s: float
    memory_bytes: int
    pure: bool = True
    recursion: int = 400

    def limits(self) -> ResourceLimits:
        return {
            "max_feed_duration_secs": self.time_s,
            "max_memory": self.memory_bytes,
            "max_recursion_depth": self.recursion,
            "max_total_sleep_secs": self.time_s,
        }


def _refuse(*, name: str, args: Any, kwargs: Any, is_async: bool, **_: Any) -> NoReturn:
    raise PermissionError(f"{name} is not available in expressions")


class Sandbox:
    """Runs program texts; each run has a fresh session and sees nothing of the others."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._pool: Monty | None = None
        self._threads: ThreadPoolExecutor | None = None

    async def start(self) -> None:
        """Spawn the workers. Starting again is harmless."""
        if self._threads is not None:
            return
        threads = ThreadPoolExecutor(self._processes, thread_name_prefix="evaluator")
        pool = Monty(min_processes=self._processes, max_processes=self._processes)
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

    async def run(self, code: str, inputs: dict[str, Any], bounds: Bounds, then: str | None = None) -> tuple[Any, str]:
        """Result of the last expression and printed text; `then` is a second snippet whose result counts instead.

        Raises: SandboxFailure.
        """
        if self._threads is None:
            raise StructForgeError("the evaluator is not started", code="NOT_STARTED")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, code, inputs, bounds, then)

    def _run(self, code: str, inputs: dict[str, Any], bounds: Bounds, then: str | None) -> tuple[Any, str]:
        printed = CollectString(MAX_PRINTED_BYTES)
        try:
            result = self._feed(code, inputs, bounds, then, printed)
        except MontyError as error:
            raise _failure(error, printed.output) from None
        except (ValueError, TypeError, OverflowError, RecursionError) as error:  # data that cannot cross
            raise SandboxFailure("error", type(error).__name__, str(error), printed.output) from None
        return result, printed.output

    def _feed(self, code: str, inputs: dict[str, Any], bounds: Bounds, then: str | None, printed: CollectString) -> Any:
        if self._pool is None:
            raise StructForgeError("the evaluator is closed", code="NOT_STARTED")
        policy = PURE if bounds.pure else None
        host = _refuse if bounds.pure else None
        with self._pool.checkout(limits=bounds.limits(), os_policy=policy) as session:
            result = session.feed_run(code, inputs=inputs, print_callback=printed, os=host)
            return result if then is None else session.feed_run(then, print_callback=printed, os=host)


def _failure(error: MontyError, printed: str) -> SandboxFailure:
    if isinstance(error, MontyCrashedError):
        reason: Reason = "timeout" if error.timed_out else "crash"
        return SandboxFailure(reason, "Crash", "the sandbox process ended", printed)
    inner = error.exception()
    reasons: dict[type[BaseException], Reason] = {TimeoutError: "timeout", MemoryError: "memory"}
    return SandboxFailure(reasons.get(type(inner), "error"), type(inner).__name__, str(inner), printed)
