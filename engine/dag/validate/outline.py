"""The document as one list of graphs, so that each check looks at main, handlers, bodies and branches alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from engine.dag.bodies import bodies
from engine.dag.catalogue import NodeCatalogue, NodeTypeInfo
from engine.dag.limits import Limits
from engine.dag.nearest import Suggester
from engine.dag.paths import join_path
from engine.dag.references import ReferenceParser
from engine.dag.spec import BodySpec, EdgeSpec, GraphSpec, NodeSpec, WorkflowSpec
from engine.dag.validate.graphs import ancestors, components

GraphKind = Literal["main", "handlers", "body", "branch"]


@dataclass(slots=True, eq=False)
class Vertex:
    """A node where it stands: `path` in the document, `index` in its graph."""

    node: NodeSpec
    path: str
    graph: Graph
    index: int
    info: NodeTypeInfo | None
    bodies: list[Graph] = field(default_factory=list["Graph"])

    @property
    def id(self) -> str:
        return self.node.id

    @property
    def is_trigger(self) -> bool:
        return self.info is not None and self.info.kind == "trigger"


@dataclass(eq=False)
class Graph:
    """A graph of the document; `path` is what stands before `nodes[0]`, `depth` is 0 outside of all bodies."""

    kind: GraphKind
    id: str
    path: str
    owner: Vertex | None
    depth: int
    edges: list[EdgeSpec]
    outputs: Any = None
    vertices: list[Vertex] = field(default_factory=list[Vertex])

    @cached_property
    def by_id(self) -> dict[str, Vertex]:
        return {vertex.id: vertex for vertex in reversed(self.vertices)}

    @cached_property
    def links(self) -> list[tuple[int, int, int]]:
        """`(source index, target index, edge number)` of the edges that lead from one node of the graph to another."""
        found: list[tuple[int, int, int]] = []
        for number, edge in enumerate(self.edges):
            source, target = self.by_id.get(edge.source), self.by_id.get(edge.target)
            if source is not None and target is not None and source is not target and not target.is_trigger:
                found.append((source.index, target.index, number))
        return found

    @cached_property
    def components(self) -> list[list[int]]:
        return components(len(self.vertices), self.links)

    @cached_property
    def ancestors(self) -> list[int]:
        """For each node the set of those upstream of it, as the bits of a number."""
        return ancestors(len(self.vertices), self.links, self.components)

    def place(self, *parts: str | int) -> str:
        return join_path(self.path, *parts)

    @property
    def in_loop(self) -> bool:
        return any(graph.kind == "body" for graph in self.outward())

    @property
    def in_handlers(self) -> bool:
        return any(graph.kind == "handlers" for graph in self.outward())

    def outward(self) -> Iterator[Graph]:
        """This graph, the one that holds its container, and so on."""
        graph: Graph | None = self
        while graph is not None:
            yield graph
            graph = graph.owner.graph if graph.owner is not None else None


@dataclass(slots=True)
class Outline:
    """A document under validation and all that the checks need."""

    spec: WorkflowSpec
    catalogue: NodeCatalogue
    parser: ReferenceParser
    limits: Limits
    graphs: list[Graph]
    by_id: dict[str, Vertex]
    suggester: Suggester

    def vertices(self) -> Iterator[Vertex]:
        for graph in self.graphs:
            yield from graph.vertices

    @property
    def main(self) -> Graph:
        return self.graphs[0]


def outline_of(spec: WorkflowSpec, catalogue: NodeCatalogue, parser: ReferenceParser, limits: Limits) -> Outline:
    """All graphs of the document; main first, then handlers, then bodies from the outside in."""
    main = _graph(GraphSpec.model_construct(nodes=spec.nodes, edges=spec.edges), "main", "", "", None, catalogue)
    main.outputs = spec.outputs
    graphs = [main, _graph(spec.handlers, "handlers", "handlers", "handlers", None, catalogue)]
    for graph in graphs:  # grows while it is read
        for vertex in graph.vertices:
            for below, body_id, body in bodies(vertex.node):
                kind: GraphKind = "branch" if vertex.node.type == "parallel" else "body"
                nested = _graph(body, kind, body_id, f"{vertex.path}.{below}", vertex, catalogue)
                vertex.bodies.append(nested)
                graphs.append(nested)
    by_id: dict[str, Vertex] = {}
    for graph in graphs:
        for vertex in graph.vertices:
            by_id.setdefault(vertex.id, vertex)
    return Outline(spec, catalogue, parser, limits, graphs, by_id, Suggester())


def _graph(
    spec: GraphSpec, kind: GraphKind, graph_id: str, path: str, owner: Vertex | None, catalogue: NodeCatalogue
) -> Graph:
    depth = owner.graph.depth + 1 if owner is not None else 0
    graph = Graph(kind, graph_id, path, owner, depth, spec.edges)
    graph.outputs = spec.outputs if isinstance(spec, BodySpec) else None
    graph.vertices = [
        Vertex(node, graph.place("nodes", index), graph, index, catalogue.get(node.type))
        for index, node in enumerate(spec.nodes)
    ]
    return graph
