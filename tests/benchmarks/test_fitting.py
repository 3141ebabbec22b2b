from __future__ import annotations

import pytest

from benchmarks.fitting import exponent


def test_the_exponent_of_powers_is_their_power() -> None:
    sizes = [100, 1000, 10_000]
    assert exponent(sizes, [5.0, 5.0, 5.0]) == pytest.approx(0)
    assert exponent(sizes, [3.0 * size for size in sizes]) == pytest.approx(1)
    assert exponent(sizes, [0.1 * size**2 for size in sizes]) == pytest.approx(2)


def test_the_exponent_is_the_best_fit_of_all_points() -> None:
    # Logarithms to base 10: x = 1, 2, 3 and y = 0, 1, 3; means 2 and 4/3; (1*4/3 + 0 + 1*5/3) / (1 + 0 + 1) = 1.5
    assert exponent([10, 100, 1000], [1, 10, 1000]) == pytest.approx(1.5)


@pytest.mark.parametrize(("sizes", "costs"), [([10, 10], [1, 2]), ([10, 20], [0, 1]), ([10, 20], [1, 2, 3])])
def test_what_cannot_be_fitted_is_refused(sizes: list[float], costs: list[float]) -> None:
    with pytest.raises(ValueError, match="exponent"):
        exponent(sizes, costs)
