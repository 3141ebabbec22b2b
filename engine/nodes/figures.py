"""Figures of a group of values: sums, averages, extremes and the rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

from engine.errors import INVALID_CONFIG, RESOURCE_EXHAUSTED, NodeError
from engine.nodes.json_kinds import json_key, kind_of

Function = Literal["sum", "avg", "count", "min", "max", "first", "last", "collect", "distinct", "median", "stddev"]
Indexed = Sequence[tuple[int, Any]]  # (index of the item, its value), nulls left out
_LARGEST_INT = 2**63


def _numbers(values: Indexed, function: str) -> list[int | float]:
    for index, value in values:
        if type(value) is not int and type(value) is not float:
            hint = "; turn it into a number first, as in float(item.x)" if type(value) is str else ""
            raise NodeError(
                f"{function} needs numbers and item {index} gives {kind_of(value)}{hint}",
                code=INVALID_CONFIG,
                details={"index": index, "kind": kind_of(value)},
            )
    return [value for _, value in values]


def _in_range(value: int | float, function: str) -> int | float:
    if (isinstance(value, int) and not -_LARGEST_INT <= value < _LARGEST_INT) or not math.isfinite(value):
        raise _too_large(function)
    return value


def _too_large(function: str) -> NodeError:
    return NodeError(f"{function}: the result is too large for a number", code=RESOURCE_EXHAUSTED)


def _total(numbers: list[int | float], function: str) -> int | float:
    """Exact for whole numbers, correctly rounded once a float is among them."""
    try:
        total = sum(numbers) if all(type(number) is int for number in numbers) else math.fsum(numbers)
    except OverflowError:
        raise _too_large(function) from None
    return total


def _sum(values: Indexed) -> int | float | None:
    numbers = _numbers(values, "sum")
    return _in_range(_total(numbers, "sum"), "sum") if numbers else None


def _avg(values: Indexed) -> float | None:
    numbers = _numbers(values, "avg")
    return _in_range(_total(numbers, "avg") / len(numbers), "avg") if numbers else None


def _median(values: Indexed) -> int | float | None:
    numbers = sorted(_numbers(values, "median"))
    if not numbers:
        return None
    middle = len(numbers) // 2
    if len(numbers) % 2:
        return numbers[middle]
    low, high = numbers[middle - 1], numbers[middle]
    # Halved first: the sum of two large floats may be infinite.
    return (low + high) / 2 if type(low) is int and type(high) is int else low / 2 + high / 2


def _stddev(values: Indexed) -> float | None:
    numbers = _numbers(values, "stddev")
    if len(numbers) < 2:
        return None
    mean = _total(numbers, "stddev") / len(numbers)
    try:
        squares = math.fsum((number - mean) ** 2 for number in numbers)
    except OverflowError:
        raise _too_large("stddev") from None
    return _in_range(math.sqrt(squares / (len(numbers) - 1)), "stddev")


def _extreme(function: str, choose: Callable[..., Any]) -> Callable[[Indexed], Any]:
    def figure(values: Indexed) -> Any:
        if not values:
            return None
        first = kind_of(values[0][1])
        for index, value in values:
            kind = kind_of(value)
            if kind != first or kind not in ("number", "text", "bool"):
                raise NodeError(
                    f"{function} needs values of one kind that has an order (numbers, text or bools); "
                    f"item {values[0][0]} gives {first}, item {index} gives {kind}",
                    code=INVALID_CONFIG,
                    details={"index": index, "kind": kind},
                )
        return choose(value for _, value in values)

    return figure


def _distinct(values: Indexed) -> list[Any]:
    seen: dict[Any, Any] = {}
    for _, value in values:
        seen.setdefault(json_key(value), value)
    return [*seen.values()]


FIGURES: dict[Function, Callable[[Indexed], Any]] = {
    "sum": _sum,
    "avg": _avg,
    "count": len,
    "min": _extreme("min", min),
    "max": _extreme("max", max),
    "first": lambda values: values[0][1] if values else None,
    "last": lambda values: values[-1][1] if values else None,
    "collect": lambda values: [value for _, value in values],
    "distinct": _distinct,
    "median": _median,
    "stddev": _stddev,
}
