"""The end of an execution: for people, and as the one JSON line that scripts read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.highlighter import JSONHighlighter
from rich.text import Text

from structforge.cli.folding import folded
from structforge.cli.tables import STATUS_STYLES
from structforge.cli.terminal import err, out, print_json, printable
from structforge.client import ExecutionDetail, NodeExecutionReply
from structforge.progress import in_words

_MARKS = {"success": "✓"}


def as_line(execution: ExecutionDetail, nodes: Iterable[NodeExecutionReply]) -> dict[str, Any]:
    """`{execution_id, status, output, error, duration_ms, nodes: {path: {status, attempts, output, error}}}`."""
    return {
        "execution_id": str(execution.id),
        "status": execution.status,
        "output": execution.output,
        "error": execution.error,
        "duration_ms": execution.duration_ms,
        "nodes": {
            node_key(node): node.model_dump(mode="json", include={"status", "attempts", "output", "error"})
            for node in sorted(nodes, key=lambda node: node.generation)
        },
    }


def node_key(node: NodeExecutionReply) -> str:
    """The path, and in loops the iteration: `each.body.price[3]`, `outer.body.inner.body.price[0.2]`."""
    return f"{node.path}[{'.'.join(map(str, node.iteration))}]" if node.iteration else node.path


def print_line(execution: ExecutionDetail, nodes: Iterable[NodeExecutionReply]) -> None:
    """The JSON on one line, the last of stdout."""
    print_json(as_line(execution, nodes), indent=None)


def print_result(execution: ExecutionDetail) -> None:
    """The output on stdout; how it went on stderr."""
    style = STATUS_STYLES.get(execution.status, "")
    text = Text(f"{_MARKS.get(execution.status, '✗')} {execution.status}", style=style)
    text.append(f" in {in_words(execution.duration_ms)}" if execution.duration_ms is not None else "", style="default")
    if execution.handled_failures:
        text.append(f", {execution.handled_failures} handled {_failures(execution.handled_failures)}", style="yellow")
    text.append(f"  execution {execution.id}", style="dim not bold")
    err().print(text)
    if execution.error:
        err().print(_failure(execution.error))
    if execution.output is not None:
        _print_output(execution.output)


def _print_output(output: Any) -> None:
    if out().is_terminal:
        text = Text(folded(output, max(out().width, 40)))
        JSONHighlighter().highlight(text)
        out().print(text)
    else:
        print_json(output)


def _failure(error: dict[str, Any]) -> Text:
    text = Text(str(error.get("code", "")), style="bold red")
    text.append(f": {printable(str(error.get('message', '')))}", style="default not bold")
    return text


def _failures(number: int) -> str:
    return "failure" if number == 1 else "failures"
