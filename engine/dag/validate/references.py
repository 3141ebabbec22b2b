"""Expressions read only what exists and what ran before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

from engine.dag.limits import LONGEST_EXPRESSION_BYTES
from engine.dag.paths import join_path
from engine.dag.references import NodeReference, References
from engine.dag.validate.outline import Graph, Outline, Vertex
from engine.dag.validate.templates import Place, places
from engine.errors import Issue

_EXPRESSION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


def check_references(outline: Outline) -> Iterator[Issue]:
    variables = {*outline.spec.variables, *(name for vertex in outline.vertices() for name in vertex.node.assign)}
    for place in places(outline):
        found = outline.parser.parse(place.tree, place.path, extra_names=place.names, expressions=place.expressions)
        yield from found.issues
        yield from _check_lengths(place, outline.limits.max_expression_bytes)
        yield from _check_nodes(found, place, outline)
        for name in found.variables:
            if name not in variables:
                yield _unknown_variable(name, place, variables, outline)
        yield from _check_inputs(found, place, outline)
        if found.constant and not found.issues and place.vertex is not None and place.tree is place.vertex.node.when:
            hint = "write a condition in {{ }}, or true or false"
            yield Issue("CONSTANT_WHEN", place.path, "when is a text without an expression", hint)


def _check_lengths(place: Place, limit: int) -> Iterator[Issue]:
    """A limit below the parser's own, which reports what passes that one."""
    if limit >= LONGEST_EXPRESSION_BYTES:
        return
    for path, text in _texts(place.tree, place.path):
        for source in [text] if place.expressions else _EXPRESSION.findall(text):
            if limit < len(source.strip().encode()) <= LONGEST_EXPRESSION_BYTES:
                hint = "move the work into a script node"
                yield Issue("EXPRESSION_TOO_LONG", path, f"an expression may have {limit} bytes", hint)


def _check_nodes(found: References, place: Place, outline: Outline) -> Iterator[Issue]:
    for reference in found.nodes:
        target = outline.by_id.get(reference.id)
        if target is None:
            message = f"there is no node {reference.id[:80]}"
            hint = outline.suggester.hint(reference.id, outline.by_id, "name the id of a node that runs before")
            yield Issue("UNKNOWN_NODE", reference.path, message, hint)
        elif not _is_visible(target, place):
            yield _not_upstream(target, reference, place)


def _is_visible(target: Vertex, place: Place) -> bool:
    if place.vertex is None:
        return target.graph is place.graph or _sees_outward(place.graph, target)
    if place.sees_itself and target is place.vertex:
        return True
    if place.sees_bodies and target.graph in place.vertex.bodies:
        return True
    return _is_upstream(place.vertex, target) or _sees_outward(place.graph, target)


def _sees_outward(graph: Graph, target: Vertex) -> bool:
    """Whether the target runs before one of the containers around the graph; handlers see all of the main graph."""
    while graph.owner is not None:
        if _is_upstream(graph.owner, target):
            return True
        graph = graph.owner.graph
    return graph.kind == "handlers" and target.graph.kind == "main"


def _is_upstream(vertex: Vertex, target: Vertex) -> bool:
    return target.graph is vertex.graph and bool(vertex.graph.ancestors[vertex.index] >> target.index & 1)


def _not_upstream(target: Vertex, reference: NodeReference, place: Place) -> Issue:
    owner = target.graph.owner
    if target is place.vertex:
        message, hint = f"{target.id} reads itself", "only assign may read the node's own output"
    elif target.graph.kind == "handlers" and not place.graph.in_handlers:
        message, hint = f"{target.id} is a handler, which runs after all else", "only handlers read handlers"
    elif owner is not None and target.graph not in place.graph.outward():
        message = f"{target.id} is inside a body of {owner.id} and not visible from here"
        hint = f"read nodes.{owner.id}.output, and put what you need into the outputs of the body"
    else:
        reader = place.vertex.id if place.vertex is not None else "this"
        message, hint = f"{target.id} is not upstream of {reader}", "add an edge path that leads from it to here"
    return Issue("NOT_UPSTREAM", reference.path, message, hint)


def _unknown_variable(name: str, place: Place, known: set[str], outline: Outline) -> Issue:
    path = _locate(place, lambda found: name in found.variables, name, outline)
    hint = outline.suggester.hint(name, known, "declare it under variables, or assign it in a node")
    return Issue("UNKNOWN_VARIABLE", path, f"there is no variable {name[:80]}", hint)


def _check_inputs(found: References, place: Place, outline: Outline) -> Iterator[Issue]:
    known = place.vertex.node.inputs if place.vertex is not None else {}
    for name in found.inputs:
        if name not in known:
            path = _locate(place, lambda leaf, name=name: name in leaf.inputs, name, outline)
            hint = outline.suggester.hint(name, known, "add it to the node's inputs; the execution's input is input")
            yield Issue("UNKNOWN_NODE_INPUT", path, f"the node has no input {name[:80]}", hint)


def _locate(place: Place, holds: Any, word: str, outline: Outline) -> str:
    """The path of the first text below the place that holds the reference."""
    for path, text in _texts(place.tree, place.path):
        if word in text and holds(
            outline.parser.parse(text, path, extra_names=place.names, expressions=place.expressions)
        ):
            return path
    return place.path


def _texts(tree: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(tree, str):
        yield path, tree
    elif isinstance(tree, dict):
        for key, member in cast("dict[str, Any]", tree).items():
            yield from _texts(member, join_path(path, key))
    elif isinstance(tree, list):
        for index, member in enumerate(cast("list[Any]", tree)):
            yield from _texts(member, join_path(path, index))
