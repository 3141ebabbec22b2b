"""Runs scripts in sandbox processes of their own, so that a slow script never stands in the way of an expression."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

from engine.errors import EXECUTION_FAILED, OUTPUT_TOO_LARGE, RESOURCE_EXHAUSTED, TIMEOUT, NodeError
from engine.expressions.fair_slots import FairSlots
from engine.expressions.jsondata import NotJson, explain_refusal, read_json
from engine.expressions.sandbox import MAX_PRINTED_BYTES, Bounds, Sandbox, SandboxFailure
from engine.expressions.scripts import with_result_as_json

NICENESS = 5  # under load, expressions and the worker itself come first
_THREADED_BYTES = 100_000  # a result that takes the event loop longer to read is read in a thread


class ScriptPool:
    """A pool of sandbox processes, started with the first script. Usable as an asynchronous context manager.

    One owner (an execution) uses at most half of the processes at a time.
    """

    def __init__(self, *, processes: int = 4, max_result_bytes: int = 10_000_000) -> None:
        self._sandbox = Sandbox(processes, niceness=NICENESS)
        self._slots = FairSlots(processes)
        self._starting = asyncio.Lock()
        self._max_result_bytes = max_result_bytes

    async def close(self) -> None:
        """Wait for what runs, at most as long as its limits, and end the processes."""
        await self._sandbox.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def run(
        self, code: str, names: dict[str, Any], *, timeout_s: float, memory_bytes: int, owner: str = ""
    ) -> tuple[Any, str]:
        """The script's result as JSON data, and the text that it printed.

        A script may see the clock and randomness, for a node's result is recorded; it cannot sleep and has no files
        and no network. Waiting for a process does not count against `timeout_s`.
        Raises: NodeError EXPRESSION_ERROR (syntax), TIMEOUT, RESOURCE_EXHAUSTED, OUTPUT_TOO_LARGE or
        EXECUTION_FAILED, with `printed` and, where it is known, `line` in its details.
        """
        text = with_result_as_json(code)
        async with self._starting:
            await self._sandbox.start()
        try:
            value, printed = await self._in_slot(text, names, Bounds(timeout_s, memory_bytes, pure=False), owner)
        except SandboxFailure as failure:
            raise _script_error(failure, code, timeout_s, memory_bytes) from None
        return await self._read(value, printed), printed

    async def _in_slot(self, text: str, names: dict[str, Any], bounds: Bounds, owner: str) -> tuple[Any, str]:
        await self._slots.acquire(owner)
        running = asyncio.ensure_future(self._sandbox.run(text, names, bounds))
        # A cancelled node leaves its script running until a limit strikes: the place is free only then.
        running.add_done_callback(lambda _: self._slots.release(owner))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            running.add_done_callback(lambda done: None if done.cancelled() else done.exception())
            raise

    async def _read(self, text: str, printed: str) -> Any:
        if len(text) > self._max_result_bytes:
            message = f"the script's result is over {self._max_result_bytes} bytes"
            raise NodeError(message, code=OUTPUT_TOO_LARGE, details={"printed": printed})
        try:
            return read_json(text) if len(text) < _THREADED_BYTES else await asyncio.to_thread(read_json, text)
        except NotJson as error:
            details = {"reason": "not_json", "printed": printed}
            raise NodeError(f"the script failed: {error}", code=EXECUTION_FAILED, details=details) from None


def _script_error(failure: SandboxFailure, code: str, timeout_s: float, memory_bytes: int) -> NodeError:
    """The error of a script; its text is the author's own and is kept."""
    line = failure.line if failure.line is not None and failure.line <= code.count("\n") + 1 else None
    details: dict[str, Any] = {"reason": failure.reason, "type": failure.kind, "printed": failure.printed}
    if line is not None:
        details["line"] = line
    if failure.reason == "timeout":
        return NodeError(f"the script ran longer than {timeout_s:g} s", code=TIMEOUT, details=details, retryable=True)
    if failure.reason == "memory":
        over = f"needs more than {memory_bytes} bytes of memory"
        if len(failure.printed.encode()) > MAX_PRINTED_BYTES // 2:
            over = f"printed more than {MAX_PRINTED_BYTES} bytes"
        return NodeError(f"the script {over}", code=RESOURCE_EXHAUSTED, details=details)
    told = f"{failure.kind}: {failure.message[:2000]}"
    if line is None and failure.kind in ("TypeError", "ValueError", "RecursionError"):
        told = explain_refusal(failure.message)  # raised while its result was written as JSON
        details["reason"] = "not_json"
    where = "" if line is None else f" in line {line}"
    return NodeError(f"the script failed{where}: {told}", code=EXECUTION_FAILED, details=details)
