"""How cost grows with size: the exponent k of cost = c * size^k that fits best. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Least squares on the logarithms: 0 for a constant cost, 1 for a linear one, 2 for a quadratic one.

    Raises: ValueError without two different sizes, or if a size or cost is not positive.
    """
    if len(set(sizes)) < 2 or len(sizes) != len(costs) or min(*sizes, *costs) <= 0:
        raise ValueError("an exponent needs two sizes or more, and positive costs")
    xs, ys = [math.log(size) for size in sizes], [math.log(cost) for cost in costs]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    across = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return across / sum((x - mean_x) ** 2 for x in xs)
