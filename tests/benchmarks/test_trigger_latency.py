from __future__ import annotations

import pytest

from benchmarks.trigger_latency import Side, figures


def test_figures_are_medians_percentiles_and_ratios_to_the_first_side() -> None:
    plain = Side("handwritten", "", answered=[1.0, 2.0, 3.0], running=[4.0, 4.0, 4.0])
    ours = Side("structforge", "", answered=[3.0, 4.0, 5.0], running=[6.0, 6.0, 6.0])
    rows = {(row["measure"], row["side"]): row for row in figures([plain, ours])}
    assert rows["answered", "structforge"]["ratio_p50"] == 2.0  # 4 / 2
    assert rows["running", "structforge"]["p99_ms"] == 6.0
    assert rows["running", "structforge"]["ratio_p99"] == 1.5  # 6 / 4
    assert rows["answered", "handwritten"]["p99_ms"] == pytest.approx(2.98)  # 2 + 0.98 of the way to 3
