"""Runs nodes as a worker does: raw parameters in, checked output back."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import jsonschema

from engine.expressions.evaluator import Evaluator
from engine.nodes.base import NodeContext, NodeResult, NodeType
from engine.nodes.ports import Ports
from engine.nodes.registry import built_in_catalogue


def node_type(name: str) -> NodeType:
    found = built_in_catalogue().get(name)
    assert found is not None
    return found


async def run(name: str, params: dict[str, Any], evaluator: Evaluator | None = None, **context: Any) -> NodeResult:
    """Validate as a document, parse, execute, and hold the output against the type's own schema."""
    assert node_type(name).validate_params(params, "nodes[0].params") == []
    return await run_filled(name, params, evaluator, **context)


async def run_filled(
    name: str, params: dict[str, Any], evaluator: Evaluator | None = None, **context: Any
) -> NodeResult:
    """The same with parameters that templates gave, so that nobody has seen them before the node runs."""
    kind = node_type(name)
    result = await kind.execute(kind.parse_params(params), _context({"evaluator": evaluator, **context}))
    jsonschema.validate(result.output, kind.result_schema)
    return result


async def opened(name: str, params: dict[str, Any], **context: Any) -> dict[str, Any]:
    kind = node_type(name)
    return await kind.open(kind.parse_params(params), _context(context))


def _context(given: dict[str, Any]) -> NodeContext:
    """A context with those of the arguments that are ports in its ports."""
    ports = {name: given.pop(name) for name in [item.name for item in fields(Ports)] if name in given}
    return NodeContext(ports=Ports(**ports), **given)


def codes(name: str, params: dict[str, Any]) -> list[tuple[str, str]]:
    """(code, path) of every issue of parameters in a document."""
    return [(issue.code, issue.path) for issue in node_type(name).validate_params(params, "params")]
