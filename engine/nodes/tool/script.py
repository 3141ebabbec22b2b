"""Tool: run a Python script in a sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

from pydantic import Field

from engine.dag.durations import Duration
from engine.errors import ConfigurationError, Issue, NodeError
from engine.nodes.base import NodeContext, NodeParams, NodeResult, ResultModel, node
from engine.nodes.param_issues import INVALID_PARAM, format_path
from engine.nodes.ports import required
from engine.nodes.scripting.ports import Runtime, ScriptRequest
from engine.nodes.scripting.printed import log_lines
from engine.nodes.scripting.runtimes import CPYTHON_SETTING
from engine.nodes.scripting.sizes import Size
from engine.nodes.scripting.syntax import faults_of
from engine.settings import load_settings

_LEAST_MEMORY_BYTES = 1_000_000
_SYNTAX_HINT = "write Python as it would stand in a file"
_FASTEST = timedelta(milliseconds=10)


class ScriptParams(NodeParams):
    """Run a Python script on data. It sees `input`, and its result is the value of its last expression or, if that is
    null, of the variable `result`.

    `runtime: monty` is a sandboxed interpreter without files, network or sleep; it knows most of the language (no
    generators, no inheritance, no `del`) and the modules asyncio, base64, collections, csv, dataclasses, datetime,
    decimal, functools, hashlib, itertools, json, math, random, re, time and typing. `runtime: cpython` is the worker's
    own Python with the whole standard library, no network and a small /tmp, in an isolation that the operator must
    allow.

    A script is taken as it is written: it holds no {{ }}, for what a template gave would then run as code. Hand data to
    it by `input`.
    """

    script_type: Literal["python"] = Field(default="python", description="The language")
    script_code: str = Field(min_length=1, max_length=100_000, description="The script, without {{ }}")
    input: Any = Field(default=None, description="What the script sees as `input`; the upstream output if left out")
    timeout: Duration = Field(
        default=timedelta(seconds=5), ge=_FASTEST, description="Longest run; the operator may set a bound"
    )
    memory: Size = Field(
        default=64_000_000, ge=_LEAST_MEMORY_BYTES, description="Most memory, such as 64 MB or 128 MiB"
    )
    runtime: Runtime = Field(default="monty", description="monty, or cpython where the operator allows it")


class ScriptOutput(ResultModel):
    result: Any = Field(description="Value of the last expression, else of `result`, else null")
    logs: list[str] = Field(description="The lines that it printed, as far as they are kept")


def _check(raw: Mapping[str, Any], path: str) -> list[Issue]:
    code, runtime = raw.get("script_code"), raw.get("runtime", "monty")
    issues = [] if not isinstance(code, str) else _code_issues(code, runtime, format_path(path, ("script_code",)))
    if runtime == "cpython" and not _cpython_is_allowed():
        message = f"runtime cpython is off here: {CPYTHON_SETTING}"
        hint = f"let the operator set {CPYTHON_SETTING}=true, or use runtime: monty"
        issues.append(Issue(INVALID_PARAM, format_path(path, ("runtime",)), message, hint, "warning"))
    return issues


def _code_issues(code: str, runtime: Any, path: str) -> list[Issue]:
    if "{{" in code:
        message = f"line {code[: code.index('{{')].count(chr(10)) + 1}: a script holds no {{{{ }}}}"
        hint = "hand the data over by the parameter input; for two braces in Python itself, write '{' * 2"
        return [Issue(INVALID_PARAM, path, message, hint)]
    known: Runtime = "monty" if runtime == "monty" else "cpython"
    faults = faults_of(code, known)[:20]
    return [Issue(INVALID_PARAM, path, f"line {f.line}: {f.message}", f.hint or _SYNTAX_HINT) for f in faults]


def _cpython_is_allowed() -> bool:
    """As far as this process knows; workers may be set up differently, hence a warning alone."""
    try:
        return load_settings().scripts.cpython
    except ConfigurationError:
        return False


@node(
    "script",
    category="tool",
    kind="io",
    icon="code",
    result=ScriptOutput,
    reads_upstream=True,
    check=_check,
    examples=[
        {
            "title": "Sum by city",
            "params": {
                "script_code": (
                    "from collections import defaultdict\n"
                    "totals = defaultdict(int)\n"
                    "for order in input['orders']:\n"
                    "    totals[order['city']] += order['total']\n"
                    "print(len(totals), 'cities')\n"
                    "dict(totals)\n"
                ),
                "input": {"orders": "{{ nodes.fetch.output.body }}"},
            },
        },
        {
            "title": "The whole standard library",
            "params": {
                "runtime": "cpython",
                "timeout": "10s",
                "memory": "128 MB",
                "script_code": "import statistics\nstatistics.quantiles(input, n=4)",
            },
        },
    ],
)
async def script(params: ScriptParams, context: NodeContext) -> NodeResult:
    scripts = required(context.ports.scripts, "scripts")
    request = ScriptRequest(
        code=params.script_code,
        input=params.input if "input" in params.model_fields_set else context.upstream,
        timeout_s=params.timeout.total_seconds(),
        memory_bytes=params.memory,
        owner=context.execution_id,
    )
    try:
        result = await scripts.run(params.runtime, request)
    except NodeError as error:
        failure = _with_logs(error)
        _log_printed(context, failure.details.get("logs", []))
        raise failure from None
    lines = log_lines(result.printed)
    _log_printed(context, lines)
    return NodeResult({"result": result.value, "logs": lines})


def _log_printed(context: NodeContext, lines: list[str]) -> None:
    for line in lines:
        context.log("info", line, source="print")


def _with_logs(error: NodeError) -> NodeError:
    """The same error with what was printed by then as `logs` in its details."""
    details = dict(error.details)
    printed = details.pop("printed", None)
    if printed is not None:
        details["logs"] = log_lines(printed)[-50:]
    return NodeError(error.message, code=error.code, details=details, retryable=error.retryable)
