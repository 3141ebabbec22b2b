from __future__ import annotations

import pytest

from benchmarks.fairness import p95, ratios


def test_the_95th_percentile_lies_between_the_two_next_samples() -> None:
    assert p95([float(number) for number in range(101)]) == pytest.approx(95.0)
    assert p95([1.0, 2.0]) == pytest.approx(1.95)  # 1 and 95 hundredths of the way to 2


def test_ratios_compare_the_waits_beside_the_flood_with_those_alone() -> None:
    alone = {"name": "alone", "samples": 2, "whole_p95_ms": 200.0}
    beside = {"name": "beside", "samples": 2, "whole_p95_ms": 300.0}
    assert ratios({"waits": [alone, beside]}) == {"whole_p95_ms": 1.5}
