"""The runtimes of a worker behind one port, and the operator's bounds on all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from engine.errors import INVALID_CONFIG, NodeError
from engine.expressions.script_pool import ScriptPool
from engine.nodes.scripting.ports import Runtime, ScriptRequest, ScriptResult, ScriptRuntime

CPYTHON_SETTING = "STRUCTFORGE_SCRIPTS__CPYTHON"


class ScriptBounds(Protocol):
    """The part of the settings that bounds a script."""

    @property
    def max_timeout_s(self) -> float: ...

    @property
    def max_memory_bytes(self) -> int: ...


class MontyScripts:
    """Scripts in the sandboxed interpreter. Fulfils `ScriptRuntime`."""

    def __init__(self, pool: ScriptPool) -> None:
        self._pool = pool

    async def run(self, request: ScriptRequest) -> ScriptResult:
        value, printed = await self._pool.run(
            request.code,
            {"input": request.input},
            timeout_s=request.timeout_s,
            memory_bytes=request.memory_bytes,
            owner=request.owner,
        )
        return ScriptResult(value, printed)


@dataclass(frozen=True, slots=True)
class Scripts:
    """Fulfils `ScriptPort`. `cpython` None means that the operator has not allowed it."""

    bounds: ScriptBounds
    monty: ScriptRuntime
    cpython: ScriptRuntime | None = None

    async def run(self, runtime: Runtime, request: ScriptRequest) -> ScriptResult:
        self._check(request)
        if runtime == "monty":
            return await self.monty.run(request)
        if self.cpython is None:
            message = f"the operator has not allowed runtime cpython: {CPYTHON_SETTING}=true allows it"
            raise NodeError(message, code=INVALID_CONFIG, details={"setting": CPYTHON_SETTING})
        return await self.cpython.run(request)

    def _check(self, request: ScriptRequest) -> None:
        bounds = self.bounds
        if request.timeout_s > bounds.max_timeout_s:
            raise _beyond("timeout", f"{bounds.max_timeout_s:g} s", "MAX_TIMEOUT_S")
        if request.memory_bytes > bounds.max_memory_bytes:
            raise _beyond("memory", f"{bounds.max_memory_bytes} bytes", "MAX_MEMORY_BYTES")


def _beyond(parameter: str, bound: str, setting: str) -> NodeError:
    message = f"{parameter} is over the operator's bound of {bound} (STRUCTFORGE_SCRIPTS__{setting})"
    return NodeError(message, code=INVALID_CONFIG, details={"parameter": parameter})
