"""Results outlive a run that is killed, and parts that are finished are known again."""

from __future__ import annotations

from pathlib import Path

from tests.faults.results import Result, add_result, percentile, read_results, table, text


def test_results_are_read_back_and_a_line_that_was_cut_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "below" / "results.jsonl"
    first = Result("redis", 3, 10, 2, ["one"], [1.5], {"calls": 7}, 2.5, "full", 2, 10)
    add_result(file, first)
    with file.open("a") as opened:
        opened.write('{"row": "redis", "se')
    add_result(file, Result("api-kill", 1))
    assert read_results(file) == [first, Result("api-kill", 1)]
    assert first.place == ("redis", "full", 3, 2)


def test_the_table_adds_up_parts_and_says_how_many_ran() -> None:
    parts = [Result("redis", seed, 10, 2, [], [1.0, 3.0], {}, 5, "full", part, 4) for seed in (1, 2) for part in (1, 2)]
    line = table(parts).splitlines()[-1]
    assert line == "| redis | full | 1, 2 | 4 of 8 | 40 | 8 | 0 | 2.0, 3.0, 3.0 | 20 |"


def test_a_violation_and_a_row_that_did_not_run_are_shown() -> None:
    assert "VIOLATION: gone" in text(Result("redis", 1, violations=["gone"]))
    assert "not run: no mount" in table([Result("object-store-full", 1, skipped="no mount")])


def test_percentiles_are_values_that_were_measured() -> None:
    # p95 of 20 values is the 19th: 95 % of them do not exceed it.
    assert percentile([float(n) for n in range(1, 21)], 0.95) == 19.0
    assert (percentile([4.0], 0.99), percentile([], 0.5)) == (4.0, 0.0)
