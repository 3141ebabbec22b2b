"""Workflows as pictures: Mermaid for documents, box drawing for terminals."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from engine.dag.bodies import bodies
from engine.dag.spec import EdgeSpec, GraphSpec, NodeSpec, WorkflowSpec
from structforge.canvas import Canvas
from structforge.layered import Box, lay_out, levels_of

_MAX_LABEL = 32
_MAX_BOXES = 40
_ESCAPES = str.maketrans({char: f"#{ord(char)};" for char in '"#<>&`|[]{}()\\'})
_TRIGGERS = frozenset({"manual", "webhook", "timer", "event"})
_CHOICES = frozenset({"condition", "switch"})


# ---- Mermaid


def mermaid(spec: WorkflowSpec) -> str:
    """The document as a Mermaid flowchart: bodies, branches and handlers are subgraphs, ports label their edges."""
    names: dict[str, str] = {}
    lines = ["flowchart TD", *_mermaid_graph(spec.graph, names, "  ")]
    if spec.handlers.nodes:
        lines += ['  subgraph handlers["handlers"]', *_mermaid_graph(spec.handlers, names, "    "), "  end"]
    return "\n".join(lines) + "\n"


def _mermaid_graph(graph: GraphSpec, names: dict[str, str], indent: str) -> Iterator[str]:
    for node in graph.nodes:
        names.setdefault(node.id, f"n{len(names)}")  # never the id itself: `end` and others are Mermaid's own words
        yield from _mermaid_node(node, names, indent)
    for edge in graph.edges:
        if edge.source in names and edge.target in names:
            yield f"{indent}{names[edge.source]} {_mermaid_arrow(edge)} {names[edge.target]}"


def _mermaid_node(node: NodeSpec, names: dict[str, str], indent: str) -> Iterator[str]:
    label = f'"{_escape(node.name or node.id)}<br/><small>{_escape(node.type)}</small>"'
    name = names[node.id]
    nested = bodies(node)
    if not nested:
        before, after = ("([", "])") if node.type in _TRIGGERS else ("{", "}") if node.type in _CHOICES else ("[", "]")
        yield f"{indent}{name}{before}{label}{after}"
        return
    yield f"{indent}subgraph {name}[{label}]"
    for index, (_, body_id, body) in enumerate(nested):
        if len(nested) == 1:
            yield from _mermaid_graph(body, names, indent + "  ")
        else:
            yield f'{indent}  subgraph {name}_{index}["{_escape(body_id)}"]'
            yield from _mermaid_graph(body, names, indent + "    ")
            yield f"{indent}  end"
    yield f"{indent}end"


def _mermaid_arrow(edge: EdgeSpec) -> str:
    if edge.source_port == "out":
        return "-->"
    line = "-.->" if edge.source_port == "error" else "-->"
    return f'{line}|"{_escape(edge.source_port)}"|'


def _escape(text: str) -> str:
    return _clean(text, 80).translate(_ESCAPES)


# ---- Terminal


def terminal(spec: WorkflowSpec, *, width: int = 120) -> Text:
    """The document as boxes and lines, level by level; as a list if it has over 40 nodes or is wider than `width`.

    `.plain` of the result is the drawing without colours.
    """
    graphs = list(_named_graphs(spec))
    boxes = sum(len(graph.nodes) for _, graph in graphs)
    picture = Text(_clean(spec.name, 200), style="bold")
    for title, graph in graphs:
        drawn = _draw(graph) if boxes <= _MAX_BOXES else None
        fits = drawn is not None and all(cell_len(line) <= width for line in drawn.plain.split("\n"))
        picture.append(f"\n\n{title}\n" if title else "\n", style="bold")
        picture.append_text(drawn if drawn is not None and fits else _list(graph))
    return picture


def _named_graphs(spec: WorkflowSpec) -> Iterator[tuple[str, GraphSpec]]:
    waiting: list[tuple[str, GraphSpec]] = [("", spec.graph)]
    if spec.handlers.nodes:
        waiting.append(("handlers", spec.handlers))
    while waiting:
        title, graph = waiting.pop(0)
        yield title, graph
        prefix = "" if title in ("", "handlers") else f"{title}."
        nested = [
            (f"{prefix}{_clean(node.id, _MAX_LABEL)}.{_clean(body_id, _MAX_LABEL)}", body)
            for node in graph.nodes
            for _, body_id, body in bodies(node)
        ]
        waiting[:0] = nested


def _draw(graph: GraphSpec) -> Text:
    labels = {node.id: (_clean(node.id, _MAX_LABEL), _clean(node.type, _MAX_LABEL)) for node in graph.nodes}
    rows = lay_out(graph, {node_id: _width(node_id, label, graph) for node_id, label in labels.items()})
    canvas = Canvas()
    top = 0
    for row in rows:
        for box in row:
            if box.node_id is None:
                canvas.line(box.center, top, box.center, top + 3)
            else:
                _draw_box(canvas, box, top, labels[box.node_id])
        top = _draw_edges(canvas, row, top + 3)
    return canvas.render()


def _width(node_id: str, label: tuple[str, str], graph: GraphSpec) -> int:
    """Columns of a box: for its texts, and for the labels of its exits side by side."""
    ports = {edge.source_port for edge in graph.edges if edge.source == node_id}
    widest = max((cell_len(_clean(port, 12)) for port in ports), default=0)
    exits = (widest + 3) * (len(ports) + 1) if len(ports) > 1 else 0
    return max(cell_len(label[0]) + 4, cell_len(label[1]) + 4, exits, 7)


def _draw_box(canvas: Canvas, box: Box, top: int, label: tuple[str, str]) -> None:
    inner = box.width - 2
    canvas.text(box.x, top, "╭" + "─" * inner + "╮", "cyan")
    for offset, (text, style) in enumerate(((label[0], "bold"), (label[1], "dim"))):
        canvas.text(box.x, top + 1 + offset, "│", "cyan")
        canvas.text(box.x + 1 + (inner - cell_len(text)) // 2, top + 1 + offset, text, style)
        canvas.text(box.x + box.width - 1, top + 1 + offset, "│", "cyan")
    canvas.text(box.x, top + 3, "╰" + "─" * inner + "╯", "cyan")


def _draw_edges(canvas: Canvas, row: list[Box], bottom: int) -> int:
    """Draw all exits of a level, each with a track of its own; returns the top of the next level."""
    exits = [(box, port, targets) for box in row for port, targets in box.exits.items()]
    bent = [
        (box, port, targets)
        for box, port, targets in exits
        if any(target.center != box.exit_column(port) for target in targets)
    ]
    track = {(id(box), port): bottom + 2 + index for index, (box, port, _) in enumerate(bent)}
    arrow = bottom + 2 + len(bent)
    for box, port, targets in exits:
        column = box.exit_column(port) if box.node_id is not None else box.center
        if box.node_id is not None:
            canvas.text(column, bottom, "┬", "cyan")
        turn = track.get((id(box), port), bottom + 1)
        canvas.line(column, bottom + 1, column, turn)
        for target in targets:
            canvas.line(column, turn, target.center, turn)
            canvas.line(target.center, turn, target.center, arrow)
            if target.node_id is not None:
                canvas.text(target.center, arrow, "▼", "")
        if port != "out":
            canvas.text(column + 1, bottom + 1, _clean(port, 12), "yellow")
    return arrow + 1


def _list(graph: GraphSpec) -> Text:
    """One line a node, by level: id, type, and where its edges lead."""
    leads: dict[str, list[str]] = {}
    for edge in graph.edges:
        port = "" if edge.source_port == "out" else f"{_clean(edge.source_port, 12)}: "
        leads.setdefault(edge.source, []).append(port + _clean(edge.target, _MAX_LABEL))
    levels = levels_of(graph)
    text = Text()
    for node in sorted(graph.nodes, key=lambda node: levels[node.id]):
        text.append(f"{levels[node.id]:>4}  ", style="dim")
        text.append(_clean(node.id, _MAX_LABEL), style="bold")
        text.append(f"  {_clean(node.type, _MAX_LABEL)}", style="dim")
        targets = leads.get(node.id, [])
        more = f", {len(targets) - 8} more" if len(targets) > 8 else ""
        text.append(f"  → {', '.join(targets[:8])}{more}\n" if targets else "\n")
    return text


def _clean(text: str, longest: int) -> str:
    """One printable line: names come from strangers and must not steer the terminal."""
    line = "".join(char if char.isprintable() else " " for char in text[: longest * 2])
    return line if cell_len(line) <= longest else set_cell_size(line, longest - 1) + "…"
