"""Expressions that nodes evaluate themselves, over all items in one call."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

from engine.errors import EXPRESSION_ERROR, NodeError
from engine.expressions.evaluator import Request
from engine.expressions.parse import Expression
from engine.expressions.templates import compile_expression
from engine.nodes.context import NodeContext
from engine.nodes.json_kinds import kind_of
from engine.nodes.markers import is_field_name
from engine.nodes.ports import ExpressionPort, required

_MOST_NAMED_KEYS = 20


@lru_cache(maxsize=4096)
def _compiled(text: str) -> Expression:
    return compile_expression(text)


async def evaluate_over(source: Any, items: Sequence[Any], context: NodeContext, parameter: str) -> list[Any]:
    """The expression's result for each item, in order; anything but text is a constant.

    Raises: NodeError of the first item that fails, naming the parameter and the item's index.
    """
    if not isinstance(source, str):
        return [source] * len(items)
    if not items:
        return []
    results = await _evaluator(context).map_items(_compile(source, parameter), items, context.scope)
    for index, result in enumerate(results):
        if isinstance(result, NodeError):
            raise _located(result, f"{parameter}, item {index}", index)
    return results


async def field_or_expression(source: Any, items: Sequence[Any], context: NodeContext, parameter: str) -> list[Any]:
    """Like `evaluate_over`; a plain name such as `customer.city` is that field of the item, null where it is missing.

    Raises: NodeError as well if no item at all has the field, for then the name is mistyped.
    """
    if not (isinstance(source, str) and is_field_name(source)):
        return await evaluate_over(source, items, context, parameter)
    path = source.split(".")
    found = [_field(item, path) for item in items]
    if items and not any(there for there, _ in found):
        raise NodeError(
            f"{parameter}: no item has a field {source}; {_keys_there(items)}",
            code=EXPRESSION_ERROR,
            details={"parameter": parameter, "field": source},
        )
    return [value for _, value in found]


async def evaluate_each(sources: Sequence[Any], context: NodeContext, parameters: Sequence[str]) -> list[Any]:
    """Each expression once, all in one call: a result or a NodeError, so that the caller may stop at the first hit."""
    texts = [(at, source) for at, source in enumerate(sources) if isinstance(source, str)]
    results = list(sources)
    if texts:
        requests = [Request(_compile(text, parameters[at]), context.scope) for at, text in texts]
        for (at, _), result in zip(texts, await _evaluator(context).evaluate(requests), strict=True):
            results[at] = _located(result, parameters[at]) if isinstance(result, NodeError) else result
    return results


def _compile(text: str, parameter: str) -> Expression:
    try:
        return _compiled(text)
    except NodeError as error:
        raise _located(error, parameter) from None


def _evaluator(context: NodeContext) -> ExpressionPort:
    return required(context.ports.evaluator, "evaluator")


def _located(error: NodeError, place: str, index: int | None = None) -> NodeError:
    details = {**error.details, "parameter": place.partition(",")[0]}
    if index is not None:
        details["index"] = index
    return NodeError(f"{place}: {error.message}", code=error.code, details=details, retryable=error.retryable)


def _field(item: Any, path: Sequence[str]) -> tuple[bool, Any]:
    for key in path:
        if not isinstance(item, dict) or key not in item:
            return False, None
        item = cast("dict[str, Any]", item)[key]
    return True, item


def _keys_there(items: Sequence[Any]) -> str:
    first = items[0]
    if not isinstance(first, dict):
        return f"the items are no objects (the first is {kind_of(first)}): use an expression with item"
    keys = list(cast("dict[str, Any]", first))[:_MOST_NAMED_KEYS]
    return f"the first has {', '.join(keys) or 'none'}"
