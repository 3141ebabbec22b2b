"""What the nodes `script` and `system_command` need of a worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Runtime = Literal["monty", "cpython"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptRequest:
    """One run of a script. `input` is JSON data, `owner` the execution: places are shared fairly between owners."""

    code: str
    input: Any
    timeout_s: float
    memory_bytes: int
    owner: str = ""


@dataclass(frozen=True, slots=True)
class ScriptResult:
    """What a script gave, as JSON data, and the text that it printed."""

    value: Any
    printed: str


class ScriptRuntime(Protocol):
    """One way of running scripts."""

    async def run(self, request: ScriptRequest) -> ScriptResult:
        """Run a script that has passed the syntax check.

        Raises: NodeError EXPRESSION_ERROR, INVALID_CONFIG, TIMEOUT, RESOURCE_EXHAUSTED, OUTPUT_TOO_LARGE or
        EXECUTION_FAILED; `printed` and, where known, `line` in its details.
        """
        ...


class ScriptPort(Protocol):
    """Runs scripts in the runtime that they name, within the operator's bounds."""

    async def run(self, runtime: Runtime, request: ScriptRequest) -> ScriptResult:
        """As `ScriptRuntime.run`; INVALID_CONFIG too for a runtime that is not there and for limits beyond bounds."""
        ...


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """What a command left behind; output that is no UTF-8 holds replacement characters."""

    exit_code: int
    stdout: str
    stderr: str


class CommandPort(Protocol):
    """Runs the commands that the operator registered."""

    async def run(self, name: str, arguments: Mapping[str, str], deadline_s: float) -> CommandOutcome:
        """Run a registered command with checked arguments; it ends by `deadline_s` at the latest.

        Raises: NodeError INVALID_CONFIG (nothing is registered, or an argument is refused), ACCESS_DENIED (no such
        command), TIMEOUT, OUTPUT_TOO_LARGE, EXTERNAL_ERROR (it cannot be started) or EXECUTION_FAILED (its exit code
        says so).
        """
        ...
