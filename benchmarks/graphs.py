"""The graphs that are compared: nodes are numbers in topological order, each with the nodes that it reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

BUILT_IN = ("one", "chain", "fan", "layered")
LARGE = ("large", "foreach")  # ten thousand nodes each, minutes to compare


@dataclass(frozen=True)
class Graph:
    """`parents[i]` are the nodes that node `i` reads; all of them are smaller than `i`."""

    name: str
    parents: tuple[tuple[int, ...], ...]

    @cached_property
    def sinks(self) -> tuple[int, ...]:
        """Nodes that no other node reads."""
        read = {parent for parents in self.parents for parent in parents}
        return tuple(node for node in range(len(self.parents)) if node not in read)


def one() -> Graph:
    return Graph("one", ((),))


def chain(length: int = 20) -> Graph:
    return Graph("chain", tuple((node - 1,) if node else () for node in range(length)))


def fan(width: int = 100) -> Graph:
    """One node, `width` that read it, and one that reads all of those."""
    return Graph("fan", ((), *((0,) for _ in range(width)), tuple(range(1, width + 1))))


def layered(layers: int = 10, width: int = 100, reads: int = 3) -> Graph:
    """Every node reads `reads` neighbouring nodes of the layer above."""
    parents: list[tuple[int, ...]] = []
    for layer in range(layers):
        above = (layer - 1) * width
        for column in range(width):
            read = sorted(above + (column + step) % width for step in range(reads))
            parents.append(tuple(read) if layer else ())
    return Graph("layered", tuple(parents))


def large() -> Graph:
    """Ten thousand nodes in a hundred layers."""
    return Graph("large", layered(layers=100).parents)


def foreach(count: int = 10_000) -> Graph:
    """So many passes of one node, none of which reads another."""
    return Graph("foreach", ((),) * count)


def wfformat(path: Path) -> Graph:
    """The graph of a WfFormat 1.5 file: its tasks are the nodes, their children the edges.

    Raises: ValueError if the file has no tasks, or they form a cycle or name an unknown child.
    """
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    tasks: list[dict[str, Any]] = document.get("workflow", {}).get("specification", {}).get("tasks", [])
    children = {str(task["id"]): [str(child) for child in task.get("children", [])] for task in tasks}
    if not children:
        raise ValueError(f"{path}: no workflow.specification.tasks")
    return Graph("wfformat", _ordered(children, path))


def _ordered(children: dict[str, list[str]], path: Path) -> tuple[tuple[int, ...], ...]:
    parents: dict[str, list[str]] = {task: [] for task in children}
    for task, below in children.items():
        for child in dict.fromkeys(below):
            if child not in parents:
                raise ValueError(f"{path}: {task} has the unknown child {child}")
            parents[child].append(task)
    missing = {task: len(above) for task, above in parents.items()}
    order = [task for task, count in missing.items() if not count]
    for task in order:  # grows while it is read
        for child in dict.fromkeys(children[task]):
            missing[child] -= 1
            if not missing[child]:
                order.append(child)
    if len(order) < len(parents):
        raise ValueError(f"{path}: its tasks form a cycle")
    number = {task: index for index, task in enumerate(order)}
    return tuple(tuple(sorted(number[above] for above in parents[task])) for task in order)


def graph_named(name: str, wfformat_path: Path | None = None) -> Graph:
    """The graph `name` of `BUILT_IN` or `LARGE`, or `wfformat` with the file at hand. Raises: ValueError."""
    if name == "wfformat":
        if wfformat_path is None:
            raise ValueError("the graph wfformat needs a file: --wfformat PATH")
        return wfformat(wfformat_path)
    made = {"one": one, "chain": chain, "fan": fan, "layered": layered, "large": large, "foreach": foreach}
    if name not in made:
        raise ValueError(f"no graph {name}: choose from {', '.join(made)}, wfformat")
    return made[name]()
