"""Renders templates. The result is data: it is never parsed again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.errors import NodeError
from engine.expressions.evaluator import Evaluator, Request
from engine.expressions.templates import Template

Scope = Mapping[str, Any]
"""Top-level names -> JSON data; `nodes` maps ids to {"output", "status", "error", "ports"} and may load lazily.

A node that is not there, or a field or port it does not have, is null."""

_NOTHING: Iterator[Any] = iter(())


def render_plain(template: Template, scope: Scope) -> Any:
    """Render a template without `computed` expressions; needs no evaluator.

    Raises: NodeError EXPRESSION_ERROR.
    """
    return template.fill(scope, _NOTHING)


async def render(template: Template, scope: Scope, evaluator: Evaluator) -> Any:
    """Render one template.

    Raises: NodeError EXPRESSION_ERROR, the first in document order.
    """
    if not template.computed:
        return template.fill(scope, _NOTHING)
    results = await evaluator.evaluate([Request(expression, scope) for expression in template.computed])
    return template.fill(scope, iter(results))


async def render_many(pairs: Sequence[tuple[Template, Scope]], evaluator: Evaluator) -> list[Any | NodeError]:
    """Render many templates, each in its own scope, with one batch for all that takes the sandbox.

    A template that fails gives its NodeError in its place.
    """
    requests = [Request(expression, scope) for template, scope in pairs for expression in template.computed]
    results = iter(await evaluator.evaluate(requests) if requests else [])
    return [_filled(template, scope, results) for template, scope in pairs]


def _filled(template: Template, scope: Scope, results: Iterator[Any]) -> Any | NodeError:
    own = iter([next(results) for _ in template.computed])
    try:
        return template.fill(scope, own)
    except NodeError as error:
        return error
