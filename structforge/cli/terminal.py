"""What a person reads: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

from rich.console import Console
from rich.text import Text

from engine.errors import ConfigurationError, Issue, StructForgeError, ValidationFailed

FAILED = 1
INVALID = 2
_STYLES = {"error": "bold red", "warning": "yellow"}


@cache
def _console(stderr: bool) -> Console:
    return Console(stderr=stderr, highlight=False, soft_wrap=True, emoji=False, markup=False)


def out() -> Console:
    """Where results go."""
    return _console(False)


def err() -> Console:
    """Where progress, notes and errors go."""
    return _console(True)


def note(text: str) -> None:
    """Tell the user something beside the result."""
    err().print(Text(printable(text), style="dim"))


def print_json(data: Any, *, indent: int | None = 2) -> None:
    """One JSON value on stdout."""
    print(json.dumps(data, ensure_ascii=False, indent=indent, default=str), flush=True)


def printable(text: str) -> str:
    """Text of strangers on a terminal: what could steer it becomes a space."""
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)


def show_issues(issues: Sequence[Issue], name: str) -> None:
    """Every issue with its place, what is wrong and how to mend it."""
    text = Text()
    for issue in issues:
        text.append(f"{issue.severity}", style=_STYLES[issue.severity])
        text.append(f" {issue.code}", style="bold")
        text.append(f" {printable(issue.path)}" if issue.path else "", style="cyan")
        text.append(f"\n  {printable(issue.message)}\n")
        if issue.hint:
            text.append(f"  hint: {printable(issue.hint)}\n", style="dim")
    errors = sum(issue.severity == "error" for issue in issues)
    warnings = len(issues) - errors
    counted = [_counted(errors, "error"), *([_counted(warnings, "warning")] if warnings else [])]
    text.append(f"{name}: {', '.join(counted)}", style="bold")
    err().print(text)


def show_error(error: Exception) -> int:
    """Say what went wrong in words; the exit code that goes with it."""
    if isinstance(error, ValidationFailed):
        show_issues(error.issues, error.message)
        return INVALID
    if isinstance(error, StructForgeError):
        _say(error.message, str(error.details.get("hint", "")))
        return INVALID if isinstance(error, ConfigurationError) else FAILED
    _say(
        f"{type(error).__name__}: {error}",
        "this should not happen; run again with STRUCTFORGE_DEBUG=1 to see where it comes from",
    )
    return FAILED


def _say(message: str, hint: str) -> None:
    text = Text("error: ", style="bold red")
    text.append(printable(message), style="default not bold")
    if hint:
        text.append(f"\nhint: {printable(hint)}", style="default not bold dim")
    err().print(text)


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def is_live() -> bool:
    """Whether progress may be drawn over itself."""
    return sys.stderr.isatty() and err().is_terminal and not err().is_dumb_terminal
