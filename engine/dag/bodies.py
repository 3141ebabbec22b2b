"""The nested graphs of a node: the body of a `loop`, the branches of a `parallel`."""

from __future__ import annotations

from typing import Any, cast

from pydantic import ValidationError

from engine.dag.spec import BodySpec, BranchSpec, NodeSpec
from engine.errors import Issue, ValidationFailed

BODY_ID = "body"
GRAPH_PARAMS = {"loop": "body", "parallel": "branches"}
_CACHE = "_parsed_bodies"


def bodies(node: NodeSpec) -> list[tuple[str, str, BodySpec]]:
    """`(path below the node, id, graph)` of each nested graph, in document order; empty for all other types.

    The path is `params.body` or `params.branches[0]`; a loop's body has the id `body`. Parsed once for a node.

    Raises: ValidationFailed if a nested graph is malformed, which `parse_spec` rules out for a whole document.
    """
    cached: tuple[Any, list[tuple[str, str, BodySpec]]] | None = node.__dict__.get(_CACHE)
    if cached is not None and cached[0] is node.params:
        return cached[1]
    try:
        parsed = [
            (path, graph.id if isinstance(graph, BranchSpec) else BODY_ID, graph)
            for path, model, raw in raw_bodies(node.type, node.params)
            for graph in [model.model_validate(raw)]
        ]
    except ValidationError as error:
        issue = Issue("INVALID_VALUE", node.id, f"a nested graph is malformed: {error.error_count()} problems")
        raise ValidationFailed([issue]) from None
    # Kept in the instance as functools.cached_property does it: a frozen model has no other place, and neither
    # equality nor dumping looks there. The parameters are remembered because model_copy copies this too.
    cast("dict[str, Any]", node.__dict__)[_CACHE] = (node.params, parsed)
    return parsed


def raw_bodies(type_name: Any, params: Any) -> list[tuple[str, type[BodySpec], Any]]:
    """`(path below the node, model, raw graph)` of what should be nested graphs, whatever its shape."""
    key = GRAPH_PARAMS.get(type_name) if isinstance(type_name, str) else None
    if key is None or not isinstance(params, dict) or params.get(key) is None:
        return []
    raw = cast("dict[str, Any]", params)[key]
    if key == "body":
        return [("params.body", BodySpec, raw)]
    if not isinstance(raw, list):
        return [("params.branches", BranchSpec, raw)]
    return [(f"params.branches[{index}]", BranchSpec, branch) for index, branch in enumerate(cast("list[Any]", raw))]
