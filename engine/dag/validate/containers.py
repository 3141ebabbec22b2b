"""Loops and parallels: bodies that hold something, and numbers that can be met."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, cast

from engine.dag.paths import join_path
from engine.dag.validate.outline import Outline, Vertex
from engine.errors import Issue

_DEFAULT_MAX_ITERATIONS = 1000


def check_containers(outline: Outline) -> Iterator[Issue]:
    for vertex in outline.vertices():
        yield from _check_bodies(vertex)
        if vertex.node.type == "loop":
            yield from _check_passes(vertex, outline.limits.max_iterations)
        elif vertex.node.type == "parallel":
            yield from _check_wait(vertex)


def _check_bodies(vertex: Vertex) -> Iterator[Issue]:
    if vertex.node.type == "parallel" and vertex.node.params.get("branches") == []:
        path = join_path(vertex.path, "params", "branches")
        yield Issue("EMPTY_BODY", path, f"{vertex.id} has no branch", "add one, such as {id: left, nodes: [...]}")
    for body in vertex.bodies:
        if not body.vertices and body.outputs is None:
            message = f"a body of {vertex.id} has no node and no outputs, so it does nothing"
            yield Issue("EMPTY_BODY", body.place("nodes"), message, "add a node", "warning")


def _check_passes(vertex: Vertex, limit: int) -> Iterator[Issue]:
    params = vertex.node.params
    allowed = params.get("max_iterations", _DEFAULT_MAX_ITERATIONS)
    if not isinstance(allowed, int):
        allowed = limit
    if allowed > limit:
        message = f"max_iterations is {allowed:,}, the limit is {limit:,}"
        yield _too_long(vertex, "max_iterations", message, "lower it, or split the work into executions", "error")
    key, passes = _constant_passes(params)
    if passes > min(allowed, limit) and params.get("break_condition") is None:
        # Within the product's limit this is a failure of the node that the document may well handle.
        message = f"the loop has {passes:,} passes, but may have {min(allowed, limit):,}: it will fail"
        hint = "raise max_iterations" if passes <= limit else "split the work into executions"
        yield _too_long(vertex, key, message, hint, "warning" if passes <= limit else "error")


def _constant_passes(params: dict[str, Any]) -> tuple[str, int]:
    """The parameter that fixes the number of passes, and the number; 0 where it is computed."""
    if params.get("loop_type") == "for":
        count = params.get("count")
        return "count", count if isinstance(count, int) else 0
    items = params.get("items")
    return "items", len(cast("list[Any]", items)) if isinstance(items, list) else 0


def _too_long(vertex: Vertex, key: str, message: str, hint: str, severity: Literal["error", "warning"]) -> Issue:
    return Issue("LOOP_TOO_LONG", join_path(vertex.path, "params", key), message, hint, severity)


def _check_wait(vertex: Vertex) -> Iterator[Issue]:
    wait = vertex.node.params.get("wait")
    if isinstance(wait, int) and not isinstance(wait, bool) and wait > len(vertex.bodies):
        message = f"waits for {wait} branches, but there are {len(vertex.bodies)}"
        path = join_path(vertex.path, "params", "wait")
        yield Issue("WAIT_OUT_OF_REACH", path, message, "lower it, or write all")
