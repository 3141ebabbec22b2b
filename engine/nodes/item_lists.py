"""The `items` parameter that list nodes share."""

from __future__ import annotations

from typing import Any, cast

from engine.errors import INVALID_CONFIG, NodeError
from engine.nodes.context import NodeContext
from engine.nodes.json_kinds import kind_of
from engine.nodes.node_type import NodeParams


def items_of(params: NodeParams, context: NodeContext) -> list[Any]:
    """`items` if it was given; otherwise the upstream output if it is a list, else its `items`.

    Raises: NodeError INVALID_CONFIG if that is no list.
    """
    if "items" in params.model_fields_set:
        return _list(cast("Any", params).items, "items")
    upstream = context.upstream
    if isinstance(upstream, dict) and "items" in upstream:
        return _list(cast("dict[str, Any]", upstream)["items"], "the upstream output's items")
    return _list(upstream, "items was left out, and the upstream output")


def _list(value: Any, what: str) -> list[Any]:
    if isinstance(value, list):
        return cast("list[Any]", value)
    raise NodeError(
        f"{what} must be a list and is {kind_of(value)}; name one, such as {{{{ nodes.fetch.output.items }}}}",
        code=INVALID_CONFIG,
        details={"kind": kind_of(value)},
    )
