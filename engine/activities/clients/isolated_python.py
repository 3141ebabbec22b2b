"""Scripts in the worker's own Python, isolated by bubblewrap. Fulfils `engine.nodes.scripting.ports.ScriptRuntime`."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from typing import Any, cast

from engine.activities.clients.isolation.child import Child, Excess, Limits
from engine.errors import (
    EXECUTION_FAILED,
    INVALID_CONFIG,
    OUTPUT_TOO_LARGE,
    RESOURCE_EXHAUSTED,
    TIMEOUT,
    NodeError,
)
from engine.expressions.fair_slots import FairSlots
from engine.expressions.jsondata import NotJson, explain_refusal, read_json
from engine.expressions.scripts import with_result
from engine.nodes.scripting.ports import ScriptRequest, ScriptResult

START_TIMEOUT_S = 10.0
MAX_PRINTED_BYTES = 1024 * 1024
_FORBIDDEN = ("namespace", "Operation not permitted", "Permission denied", "uid map")


class IsolatedPython:
    """At most `size` scripts at a time; one execution runs at most half of them. `program` names bubblewrap."""

    def __init__(
        self,
        *,
        size: int = 4,
        tmp_bytes: int = 16 * 1024 * 1024,
        max_result_bytes: int = 10_000_000,
        program: str = "bwrap",
    ) -> None:
        self._slots = FairSlots(size)
        self._tmp_bytes = tmp_bytes
        self._max_result_bytes = max_result_bytes
        self._program = program

    async def run(self, request: ScriptRequest) -> ScriptResult:
        """As the protocol says; INVALID_CONFIG if bubblewrap, libseccomp or the kernel's namespaces are not there."""
        payload = await asyncio.to_thread(_payload, request)
        limits = Limits(
            time_s=request.timeout_s,
            memory_bytes=request.memory_bytes,
            tmp_bytes=self._tmp_bytes,
            max_printed_bytes=MAX_PRINTED_BYTES,
            max_result_bytes=self._max_result_bytes,
        )
        async with self._slots.hold(request.owner):
            return await self._run(payload, limits)

    async def _run(self, payload: bytes, limits: Limits) -> ScriptResult:
        child = await self._start(limits)
        try:
            await self._wait_until_it_stands(child)
            await child.feed_and_read(payload)
        finally:
            await child.end()
        printed = child.printed.decode("utf-8", "replace")
        return ScriptResult(await asyncio.to_thread(_value, child, printed), printed)

    async def _start(self, limits: Limits) -> Child:
        program = shutil.which(self._program)
        if program is None:
            message = "runtime cpython needs bubblewrap, and this worker has no program bwrap (package bubblewrap)"
            raise NodeError(message, code=INVALID_CONFIG, details={"missing": "bubblewrap"})
        try:
            return await Child.start(program, limits)
        except OSError as error:
            raise NodeError(
                f"the isolation cannot be started: {error.strerror}", code=RESOURCE_EXHAUSTED, retryable=True
            ) from None

    async def _wait_until_it_stands(self, child: Child) -> None:
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                if await child.stands():
                    return
        except TimeoutError:
            message = f"the isolation did not stand within {START_TIMEOUT_S:g} s"
            raise NodeError(message, code=RESOURCE_EXHAUSTED, retryable=True) from None
        complaint = await child.complaint()
        reason = "the kernel does not let this user isolate a process" if _is_forbidden(complaint) else "it failed"
        message = f"the isolation of runtime cpython cannot be set up: {reason}: {complaint}"
        raise NodeError(message, code=INVALID_CONFIG, details={"reason": complaint})


def _is_forbidden(complaint: str) -> bool:
    return any(words in complaint for words in _FORBIDDEN)


def _payload(request: ScriptRequest) -> bytes:
    return json.dumps({"code": with_result(request.code), "input": request.input}).encode()


def _value(child: Child, printed: str) -> Any:
    """The result as JSON data. What arrives is the script's own word, whatever it has done to its process."""
    if child.excess is not None:
        raise _over(child.excess, child.limits, printed)
    try:
        answer = _Answer(read_json(child.answer.decode("utf-8", "replace")))
        if answer.text is not None:
            return read_json(answer.text)
    except NotJson as error:
        if child.answer.startswith(b"{") and child.process.returncode == 0:
            raise _failed(str(error), printed, reason="not_json") from None
        raise _ended_alone(child, printed) from None
    raise answer.error(child.limits, printed)


class _Answer:
    """What the isolated interpreter wrote, of which nothing is taken for granted."""

    def __init__(self, answer: Any) -> None:
        members = cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
        text, line = members.get("result"), members.get("line")
        self.text = text if isinstance(text, str) else None
        self.kind = str(members.get("kind", "unknown"))[:100]
        self.message = str(members.get("message", ""))[:2000]
        self.line = line if isinstance(line, int) else None

    def error(self, limits: Limits, printed: str) -> NodeError:
        if self.kind == "MemoryError":
            message = f"the script needs more than {limits.memory_bytes} bytes of memory"
            details = {"reason": "memory", "type": self.kind, "printed": printed}
            return NodeError(message, code=RESOURCE_EXHAUSTED, details=details)
        if self.kind == "not_json":
            return _failed(explain_refusal(self.message), printed, reason="not_json")
        told = f"{self.kind}: {self.message}"
        return _failed(told, printed, reason="error", type=self.kind, line=self.line)


def _failed(told: str, printed: str, *, line: int | None = None, **details: Any) -> NodeError:
    where = "" if line is None else f" in line {line}"
    known = {"line": line} if line is not None else {}
    details = {**details, **known, "printed": printed}
    return NodeError(f"the script failed{where}: {told}", code=EXECUTION_FAILED, details=details)


def _ended_alone(child: Child, printed: str) -> NodeError:
    """It ended without a word: by itself, by a fault of the interpreter, or because it used up its processor time."""
    killed = child.killed_by()
    if killed in (signal.SIGXCPU, signal.SIGKILL):
        return _over("time", child.limits, printed)
    how = f"it was ended by signal {killed}" if killed else f"it left with code {child.process.returncode}"
    return _failed(f"there is no result: {how}", printed, reason="crash")


def _over(excess: Excess, limits: Limits, printed: str) -> NodeError:
    messages = {
        "time": (TIMEOUT, f"ran longer than {limits.time_s:g} s"),
        "printed": (RESOURCE_EXHAUSTED, f"printed more than {limits.max_printed_bytes} bytes"),
        "result": (OUTPUT_TOO_LARGE, f"has a result of over {limits.max_result_bytes} bytes"),
        "files": (RESOURCE_EXHAUSTED, "made too many files in /tmp"),
        "unwatched": (
            INVALID_CONFIG,
            "has a /tmp that this worker cannot watch: STRUCTFORGE_SCRIPTS__TMP_BYTES=0 does without one",
        ),
    }
    code, told = messages[excess]
    details = {"reason": excess, "printed": printed}
    return NodeError(f"the script {told}", code=code, details=details, retryable=excess == "time")
