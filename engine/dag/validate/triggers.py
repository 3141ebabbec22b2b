"""Triggers agree with the document around them: the node that answers exists, who must prove itself can, and keys are
of one trigger each."""

from __future__ import annotations

from collections.abc import Iterator

from engine.dag.paths import join_path
from engine.dag.validate.outline import Outline, Vertex
from engine.errors import Issue

WEBHOOK, MANUAL = "webhook", "manual"


def check_triggers(outline: Outline) -> Iterator[Issue]:
    """Webhooks and keys; what their parameters say by themselves is the node type's own business."""
    addresses: dict[tuple[object, object], str] = {}
    keys: dict[str, str] = {}
    for vertex in outline.main.vertices:
        if vertex.node.type == MANUAL:
            yield from _check_key(vertex, keys)
        if vertex.node.type != WEBHOOK:
            continue
        params, path = vertex.node.params, join_path(vertex.path, "params")
        yield from _check_answer(vertex, outline, join_path(path, "response_node"))
        auth = params.get("auth", "none")
        if auth in ("api_key", "bearer", "hmac") and vertex.node.credential is None:
            message = f"auth: {auth} needs a credential to compare with, and the node names none"
            yield Issue("MISSING_CREDENTIAL", join_path(vertex.path, "credential"), message, "add credential: NAME")
        yield from _check_address(vertex, addresses, join_path(path, "path"))


def _check_answer(vertex: Vertex, outline: Outline, path: str) -> Iterator[Issue]:
    name = vertex.node.params.get("response_node")
    if not isinstance(name, str):
        return
    target = outline.by_id.get(name)
    if target is None:
        hint = outline.suggester.hint(name, outline.by_id, "name the id of a node that runs after this one")
        yield Issue("UNKNOWN_NODE", path, f"there is no node {name[:80]}", hint)
    elif target.graph is not vertex.graph or not outline.main.ancestors[target.index] >> vertex.index & 1:
        message = f"{name[:80]} does not run after {vertex.id}, so it cannot answer its calls"
        yield Issue("UNKNOWN_NODE", path, message, "name a top-level node that an edge path leads to from here")


def _check_key(vertex: Vertex, known: dict[str, str]) -> Iterator[Issue]:
    key = vertex.node.params.get("trigger_key")
    if not isinstance(key, str):
        return
    first = known.setdefault(key, vertex.id)
    if first != vertex.id:
        path = join_path(vertex.path, "params", "trigger_key")
        message = f"{first} has the same key, so a start by it could mean either"
        yield Issue("DUPLICATE_TRIGGER_KEY", path, message, "give them different keys")


def _check_address(vertex: Vertex, known: dict[tuple[object, object], str], path: str) -> Iterator[Issue]:
    where, method = vertex.node.params.get("path"), vertex.node.params.get("method", "POST")
    if not isinstance(where, str) or not isinstance(method, str):
        return
    address = (where.removeprefix("/"), method.upper())
    first = known.setdefault(address, vertex.id)
    if first != vertex.id:
        message = f"{first} is called at the same path with the same method"
        yield Issue("DUPLICATE_WEBHOOK", path, message, "give them different paths or methods")
