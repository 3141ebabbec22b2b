from __future__ import annotations

from benchmarks.pages import leaves_of

PLAN = """
Limit (actual time=0.1..0.2 rows=1 loops=1)
  ->  Append (actual time=0.1..0.2 rows=1 loops=1)
        Subplans Removed: 3
        ->  Index Scan using execution_shared_202611_pkey on execution_shared_202611 e_1 (actual rows=1 loops=1)
        ->  Index Scan using execution_shared_202612_pkey on execution_shared_202612 e_2 (never executed)
        ->  Seq Scan on execution_shared_default e_3 (actual time=0.0..0.0 rows=0 loops=1)
"""


def test_partitions_that_were_read_are_told_from_those_that_were_not() -> None:
    assert leaves_of(PLAN) == {"execution_shared_202611", "execution_shared_default"}
