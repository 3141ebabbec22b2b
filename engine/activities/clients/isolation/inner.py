"""What runs first inside the isolation: gives up every right, then runs the script and writes what came of it.

This file's text is handed to the isolated interpreter, which has the standard library and nothing else. It is given its
limits as JSON in its first argument, and code and input as JSON on its standard input. To the descriptor `result_fd` it
writes `+` once the limits stand, and then one JSON object: `{"result": JSON text}`, or `{"kind", "message", "line"}`.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
from types import TracebackType
from typing import Any

SCRIPT = "<script>"
MAX_MESSAGE_CHARACTERS = 2000
_OPEN_FILES = 64
_THREADS = 32
_SIGNALS = 64


def confine(limits: dict[str, Any]) -> None:
    """Bound this process for good, then become a user who can do nothing, if it is not one already."""
    gc.collect()
    os.nice(5)
    seconds = limits["cpu_s"]
    bounds = {
        "RLIMIT_CPU": seconds,
        "RLIMIT_AS": limits["address_space_bytes"],
        "RLIMIT_FSIZE": limits["file_bytes"],
        "RLIMIT_NOFILE": _OPEN_FILES,
        "RLIMIT_NPROC": _THREADS,
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_SIGPENDING": _SIGNALS,
        "RLIMIT_NICE": 0,
        "RLIMIT_RTPRIO": 0,
    }
    user = limits["uid"]
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
    for name, bound in bounds.items():
        resource.setrlimit(getattr(resource, name), (bound, bound))
    if user is not None:
        os.setresuid(user, user, user)


def run(code: str, data: Any) -> dict[str, Any]:
    """Run the script and give its result as JSON text, or what kept it from giving one."""
    scope: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__, "input": data}
    try:
        _execute(code, scope)
        value = scope.get("_sf_result")
        value = scope.get("result") if value is None else value
    except MemoryError:
        return {"kind": "MemoryError", "message": "", "line": None}
    except BaseException as error:
        return _told(error)
    try:
        return {"result": json.dumps(value, allow_nan=False)}
    except MemoryError:
        return {"kind": "MemoryError", "message": "", "line": None}
    except BaseException as error:
        return {"kind": "not_json", "message": str(error)[:MAX_MESSAGE_CHARACTERS], "line": None}


def _execute(code: str, scope: dict[str, Any]) -> None:
    try:
        exec(compile(code, SCRIPT, "exec", dont_inherit=True), scope)  # noqa: S102
    except SystemExit as error:  # an early end; with a code other than 0 it is a failure
        if error.code not in (None, 0):
            raise


def _told(error: BaseException) -> dict[str, Any]:
    try:
        message = str(error)[:MAX_MESSAGE_CHARACTERS]
    except BaseException:  # the script's own class
        message = ""
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else _line(error.__traceback__)
    return {"kind": type(error).__name__[:100], "message": message, "line": line}


def _line(trace: TracebackType | None) -> int | None:
    """The line of the script in which it ended."""
    line = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == SCRIPT:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def main() -> None:
    limits = json.loads(sys.argv[1])
    descriptor = limits["result_fd"]
    sys.argv = [SCRIPT]
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, 1024)
    confine(limits)
    os.write(descriptor, b"+")
    try:
        request = json.loads(sys.stdin.buffer.read())
        answer = run(request["code"], request["input"])
    except MemoryError:
        answer = {"kind": "MemoryError", "message": "", "line": None}
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):  # closed or replaced by the script
        pass
    _write(descriptor, json.dumps(answer).encode())
    os._exit(0)


if __name__ == "__main__":
    main()
