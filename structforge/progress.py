"""An execution as it goes on, node by node: drawn over itself on a terminal, line by line elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from engine.dag.bodies import bodies
from engine.dag.spec import GraphSpec, WorkflowSpec

ENDED = frozenset({"success", "failed", "cancelled", "timed_out"})
SETTLED = frozenset({"success", "failed", "skipped", "pruned", "cancelled"})
_MARKS = {
    "": ("·", "dim"),
    "pending": ("·", "dim"),
    "running": ("●", "cyan"),
    "retrying": ("↻", "yellow"),
    "waiting": ("◷", "blue"),
    "success": ("✓", "green"),
    "failed": ("✗", "bold red"),
    "skipped": ("↷", "yellow"),
    "pruned": ("-", "dim"),
    "cancelled": ("■", "magenta"),
}
# The status of a node that ran in several passes is the first of these that any of its passes has.
_LOUDEST = ("running", "retrying", "waiting", "failed", "cancelled", "success", "skipped", "pruned", "pending")


@dataclass(slots=True)
class Entry:
    """One node of the document and what has been seen of its node executions, by iteration."""

    path: str
    name: str
    type: str
    depth: int
    container: bool = False
    seen: dict[tuple[int, ...], Mapping[str, Any]] = field(default_factory=dict[tuple[int, ...], Mapping[str, Any]])

    @property
    def status(self) -> str:
        found = {row["status"] for row in self.seen.values()}
        return next((status for status in _LOUDEST if status in found), "")

    @property
    def duration_ms(self) -> float | None:
        """Of the only node execution, or of all together."""
        known = [row["duration_ms"] for row in self.seen.values() if row.get("duration_ms") is not None]
        return sum(known) if known else None

    @property
    def attempts(self) -> int:
        return max((int(row.get("attempts") or 0) for row in self.seen.values()), default=0)

    def remark(self) -> str:
        """What is worth saying beside the status: passes, attempts, the failure."""
        parts: list[str] = []
        if self.depth and len(self.seen) > 1:
            parts.append(_passes(Counter(str(row["status"]) for row in self.seen.values())))
        if self.attempts > 1:
            parts.append(f"{self.attempts} attempts")
        errors = [error for row in self.seen.values() if (error := row.get("error"))]
        if errors:
            first = errors[0]
            parts.append(f"{first.get('code', '')}: {_one_line(str(first.get('message', '')))}")
        return " · ".join(parts)


class Board:
    """All nodes of a document in its order, bodies below their containers, handlers last.

    Without the document it holds the nodes that were heard of, as they come.
    """

    def __init__(self, name: str, spec: WorkflowSpec | None = None) -> None:
        self.name = name
        self.entries: dict[str, Entry] = {}
        for graph in (spec.graph, spec.handlers) if spec else ():
            self._add(graph, "", 0)

    def _add(self, graph: GraphSpec, prefix: str, depth: int) -> None:
        for node in graph.nodes:
            path = prefix + node.id
            nested = bodies(node)
            name = _one_line(node.name or node.id)
            self.entries[path] = Entry(path, name, _one_line(node.type), depth, container=bool(nested))
            for _, body_id, body in nested:
                self._add(body, f"{path}.{body_id}.", depth + 1)

    def update(self, rows: Iterable[Mapping[str, Any]]) -> list[Entry]:
        """Take in node executions `{path, type, iteration, status, attempts, duration_ms, error}`; the changed."""
        changed: dict[str, Entry] = {}
        for row in rows:
            entry = self._entry(row)
            iteration = tuple(row.get("iteration") or ())
            if entry.seen.get(iteration) != row:
                entry.seen[iteration] = row
                changed[entry.path] = entry
        return list(changed.values())

    def _entry(self, row: Mapping[str, Any]) -> Entry:
        path = str(row["path"])
        if path not in self.entries:
            depth = min(path.count("."), 1)
            self.entries[path] = Entry(path, _one_line(path), _one_line(str(row.get("type", ""))), depth)
        return self.entries[path]

    @property
    def settled(self) -> int:
        return sum(entry.status in SETTLED for entry in self.entries.values())


class LineProgress:
    """One line for each node outside bodies, as it settles: for logs and pipes."""

    def __init__(self, board: Board, console: Console) -> None:
        self._board = board
        self._console = console
        self._said: set[str] = set()
        self._status = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is drawn that would have to be taken away."""

    def tell(self, status: str) -> None:
        """A pause is worth a line, for nothing else would say why nothing happens."""
        if status == "paused" and self._status != status:
            self._console.print(Text("◷ paused", style="blue"))
        self._status = status

    def update(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for entry in self._board.update(rows):
            if entry.depth == 0 and entry.status in SETTLED and entry.path not in self._said:
                self._said.add(entry.path)
                self._console.print(_line(entry))


class LiveProgress:
    """The whole document as a list that fills; what does not fit the terminal is summed up in a line."""

    def __init__(self, board: Board, console: Console) -> None:
        self._board = board
        self._console = console
        self._status = "starting"
        self._began = time.monotonic()
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(console=console, get_renderable=self.rendering, refresh_per_second=12, transient=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def update(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self._board.update(rows)

    def tell(self, status: str) -> None:
        """What the execution as a whole is doing."""
        self._status = status

    def rendering(self) -> RenderableType:
        """What stands on the screen now."""
        entries = list(self._board.entries.values())
        shown = [*_chosen(entries, max(self._console.height - 4, 4))]
        table = Table.grid(padding=(0, 1))
        for column in (None, None, None, "right"):
            table.add_column(justify="right" if column else "left", no_wrap=True)
        table.add_column(overflow="ellipsis", no_wrap=True, style="dim")
        for entry in shown:
            table.add_row(*self._row(entry))
        hidden = len(entries) - len(shown)
        rest = [Text(f"  … and {hidden:,} more nodes", style="dim")] if hidden else []
        return Group(self._headline(), table, *rest)

    def _headline(self) -> RenderableType:
        text = Text(_one_line(self._board.name), style="bold")
        text.append(f"  {self._board.settled} of {len(self._board.entries)} nodes", style="not bold dim")
        if self._status in ENDED:
            return text
        text.append(f"  {self._status} for {time.monotonic() - self._began:.0f} s", style="not bold dim")
        line = Table.grid(padding=(0, 1))
        line.add_row(self._spinner, text)
        return line

    def _row(self, entry: Entry) -> tuple[RenderableType, ...]:
        mark, style = _MARKS.get(entry.status, ("?", ""))
        sign = self._spinner if entry.status == "running" else Text(mark, style=style)
        name = Text("  " * entry.depth + entry.name, style="" if entry.status else "dim")
        return (sign, name, Text(entry.type, style="dim"), in_words(entry.duration_ms), Text(entry.remark()))


def in_words(duration_ms: float | None) -> str:
    """A length of time for people: `12 ms`, `3.4 s`, `2 min 5 s`; nothing for None."""
    if duration_ms is None:
        return ""
    if duration_ms < 1000:
        return f"{duration_ms:.0f} ms"
    seconds = duration_ms / 1000
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


def _passes(counts: Counter[str]) -> str:
    if counts.keys() == {"success"}:
        return f"{counts.total():,} passes"
    return f"{counts.total():,} passes: " + ", ".join(f"{number:,} {status}" for status, number in counts.items())


def _chosen(entries: list[Entry], room: int) -> Iterator[Entry]:
    """All of them if they fit, in document order; else bodies go first, then what has long settled or not begun."""
    if len(entries) <= room:
        yield from entries
        return
    outer = [entry for entry in entries if entry.depth == 0]
    pool = outer if len(outer) >= room else entries
    ranks = {"running": 0, "retrying": 0, "waiting": 0, "failed": 1}
    ranked = sorted(pool, key=lambda entry: (ranks.get(entry.status, 2), entry.depth, not entry.status))
    kept = {entry.path for entry in ranked[:room]}
    yield from (entry for entry in entries if entry.path in kept)


def _line(entry: Entry) -> Text:
    mark, style = _MARKS[entry.status]
    text = Text(mark, style=style)
    text.append(f" {entry.path}", style="default not bold")
    text.append(f" ({entry.type})", style="dim not bold")
    for part in (in_words(entry.duration_ms), entry.remark()):
        text.append(f"  {part}" if part else "", style="dim not bold")
    return text


def _one_line(text: str) -> str:
    """Names and messages come from strangers: they may neither steer the terminal nor fill it."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[:400]).split())
    return line if len(line) <= 200 else line[:199] + "…"
