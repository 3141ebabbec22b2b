"""Where boxes stand when a graph is drawn from top to bottom. Source: Sugiyama 1981, in its simplest form."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.dag.spec import GraphSpec

_GAP = 3
_SWEEPS = 4


@dataclass(eq=False, slots=True)
class Box:
    """A node, or the bend of an edge that passes a level (`node_id` is None). `x` is its left column."""

    node_id: str | None
    width: int
    level: int
    x: int = 0
    exits: dict[str, list[Box]] = field(default_factory=dict[str, "list[Box]"])
    parents: list[Box] = field(default_factory=list["Box"])

    @property
    def center(self) -> int:
        return self.x + self.width // 2

    def exit_column(self, port: str) -> int:
        ports = list(self.exits)
        return self.x + self.width * (ports.index(port) + 1) // (len(ports) + 1)


def levels_of(graph: GraphSpec) -> dict[str, int]:
    """Longest distance of each node from an entry; nodes behind a cycle go to the end, in document order."""
    targets: dict[str, list[str]] = {node.id: [] for node in graph.nodes}
    waiting = dict.fromkeys(targets, 0)
    for edge in graph.edges:
        if edge.source in targets and edge.target in targets:
            targets[edge.source].append(edge.target)
            waiting[edge.target] += 1
    level = dict.fromkeys(targets, 0)
    queue = [node_id for node_id, count in waiting.items() if count == 0]
    for node_id in queue:
        for target in targets[node_id]:
            level[target] = max(level[target], level[node_id] + 1)
            waiting[target] -= 1
            if waiting[target] == 0:
                queue.append(target)
    last = max((level[node_id] for node_id in queue), default=-1)
    for node_id in targets.keys() - set(queue):
        level[node_id] = last + 1
    return level


def lay_out(graph: GraphSpec, widths: dict[str, int]) -> list[list[Box]]:
    """Boxes by level, with columns. Edges that do not lead down are left out."""
    levels = levels_of(graph)
    boxes = {node.id: Box(node.id, widths[node.id], levels[node.id]) for node in graph.nodes}
    rows: list[list[Box]] = [[] for _ in range(max(levels.values(), default=-1) + 1)]
    for box in boxes.values():
        rows[box.level].append(box)
    for edge in graph.edges:
        source, target = boxes.get(edge.source), boxes.get(edge.target)
        if source is not None and target is not None and source.level < target.level:
            _connect(source, edge.source_port, target, rows)
    for sweep in range(_SWEEPS):
        _order(rows, downward=sweep % 2 == 0)
    _place(rows)
    return rows


def _connect(source: Box, port: str, target: Box, rows: list[list[Box]]) -> None:
    above, exit_port = source, port
    for level in range(source.level + 1, target.level):
        bend = Box(None, 1, level)
        rows[level].append(bend)
        above.exits.setdefault(exit_port, []).append(bend)
        bend.parents.append(above)
        above, exit_port = bend, "out"
    above.exits.setdefault(exit_port, []).append(target)
    target.parents.append(above)


def _neighbours(box: Box, *, downward: bool) -> list[Box]:
    return box.parents if downward else [target for targets in box.exits.values() for target in targets]


def _order(rows: list[list[Box]], *, downward: bool) -> None:
    """Sort each level by where its neighbours stand on average, which takes out most crossings."""
    for row in rows if downward else reversed(rows):
        place = {id(box): index for other in rows for index, box in enumerate(other)}
        keys: dict[int, float] = {}
        for box in row:
            near = [place[id(other)] for other in _neighbours(box, downward=downward)]
            keys[id(box)] = sum(near) / len(near) if near else place[id(box)]
        row.sort(key=lambda box, keys=keys: keys[id(box)])


def _place(rows: list[list[Box]]) -> None:
    """Columns: below the parents, over the children, and left to right without overlap."""
    for row in rows:
        _spread(row, [box.center for box in row])
    for downward in (True, False, True):
        for row in rows if downward else reversed(rows):
            wishes = [_wish(box, downward=downward) for box in row]
            _spread(row, wishes)
    left = min((box.x for row in rows for box in row), default=0)
    for row in rows:
        for box in row:
            box.x -= left


def _wish(box: Box, *, downward: bool) -> int:
    near = [other.center for other in _neighbours(box, downward=downward)]
    return round(sum(near) / len(near)) if near else box.center


def _spread(row: list[Box], wishes: list[int]) -> None:
    free = -10_000
    for box, wish in zip(row, wishes, strict=True):
        box.x = max(free, wish - box.width // 2)
        free = box.x + box.width + _GAP
    # Boxes were pushed to the right only; moving the row back as a whole keeps it over its neighbours.
    drift = sum(box.center - wish for box, wish in zip(row, wishes, strict=True))
    for box in row:
        box.x -= round(drift / len(row))
