from hypothesis import given
from hypothesis import strategies as st

from engine.dag.digest import MODULUS, add_digests, row_digest


def test_digest_is_the_same_in_every_release() -> None:
    # Rows of running executions carry it: another value here would make them impossible to close.
    assert row_digest("loop.a", (1, 2), 0, "success", 1) == 167462349206877421


def test_each_part_of_a_row_counts() -> None:
    rows = {
        row_digest("a", (), 0, "success", 1),
        row_digest("b", (), 0, "success", 1),
        row_digest("a", (0,), 0, "success", 1),
        row_digest("a", (), 1, "success", 1),
        row_digest("a", (), 0, "failed", 1),
        row_digest("a", (), 0, "success", 2),
        row_digest("a", (1, 2), 0, "success", 1),
        row_digest("a", (12,), 0, "success", 1),
    }
    assert len(rows) == 8
    assert all(0 <= digest < MODULUS for digest in rows)


@given(st.lists(st.integers(0, MODULUS - 1)), st.integers(0, 20))
def test_digests_of_parts_add_up_to_the_digest_of_all(digests: list[int], cut: int) -> None:
    parts = [add_digests(digests[:cut]), add_digests(digests[cut:])]
    assert add_digests(parts) == add_digests(reversed(digests))
