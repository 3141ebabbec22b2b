"""What Temporal's Web UI shows of an execution while it runs: a table of its nodes, as Markdown.

It is kept in memory and read by a query: it makes no command and takes no part in a replay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from temporalio import workflow

from engine.dag.execution import Execution
from engine.dag.frame import NodeState
from engine.dag.plan import MAIN

MOST_ROWS = 25
MOST_CHARACTERS = 60  # of a node's name
_SHOWN = {"queued": "pending", "closing": "running"}
_OF_GRAPHS = ("pass", "outputs")
_ESCAPED = str.maketrans({letter: f"\\{letter}" for letter in "\\|`*_[]<>!#"})
_HEAD = "| node | type | status | attempts | seconds |\n| --- | --- | --- | ---: | ---: |"


class Progress:
    """Renewed once for all that happens at the same moment, however many nodes that concerns."""

    def __init__(self, execution: Execution, meta: Mapping[str, Any], counts: Mapping[str, int]) -> None:
        self._execution = execution
        self._name = _cell(meta["workflow_name"])
        self._counts = counts
        self._is_due = False

    def note(self) -> None:
        """Something has changed."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._show)

    def _show(self) -> None:
        self._is_due = False
        workflow.set_current_details(self.text())

    def text(self) -> str:
        """Counts of what has ended; then all nodes of a small workflow, or those of a large one that run now."""
        ended = " · ".join(f"{count} {status}" for status, count in self._counts.items())
        title = f"**{self._name}** attempt {self._execution.attempt}: {ended or 'begins'}"
        rows = [_row(*cells) for cells in islice(self._nodes(), MOST_ROWS)]
        return "\n".join([title, "", _HEAD, *rows]) if rows else title

    def _nodes(self) -> Iterator[tuple[str, str, NodeState]]:
        run = self._execution
        frame = run.frames.get((MAIN, ()))
        nodes = run.plan.nodes
        if frame is not None and len(frame.nodes) <= MOST_ROWS:
            for index, state in frame.nodes.items():
                yield nodes[index].name or nodes[index].id, nodes[index].type, state
            return
        for work in run.works.values():
            if work.kind in _OF_GRAPHS:
                continue
            node = nodes[work.subject]
            frame = run.frames.get((node.graph, work.iteration))
            if frame is not None and work.subject in frame.nodes:
                yield node.path, node.type, frame.nodes[work.subject]


def _row(name: str, kind: str, state: NodeState) -> str:
    took = f"{state.finished_at - state.started_at:.1f}" if state.finished_at and state.started_at else ""
    status = _SHOWN.get(state.status, state.status)
    return f"| {_cell(name)} | {kind} | {status} | {state.attempts or ''} | {took} |"


def _cell(text: str) -> str:
    """A name that cannot break the table or bring a link or a picture with it."""
    return " ".join(text[:MOST_CHARACTERS].split()).translate(_ESCAPED)
