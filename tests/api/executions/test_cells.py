from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from api.executions.cells import CHUNK_BYTES, cell, csv_line, lines


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        ("plain", "plain"),
        ("=1", "'=1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@a", "'@a"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("\n=1", "'\n=1"),
        (-1, "-1"),
        (2.5, "2.5"),
        (True, "true"),
        ({"a": "=1"}, '{"a":"=1"}'),
        ([], "[]"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
    ],
)
def test_a_value_is_one_safe_cell(value: Any, shown: str) -> None:
    assert cell(value) == shown


def test_a_cell_holds_commas_quotes_and_lines() -> None:
    assert csv_line(['a,"b"\nc', 1]) == b'"a,""b""\nc",1\r\n'


async def test_a_long_export_is_never_whole_in_memory() -> None:
    async def records() -> AsyncIterator[dict[str, Any]]:
        for number in range(2000):
            yield {"n": number, "text": "x" * 5000}  # 10 MB in all

    tracemalloc.start()
    total = largest = 0
    async for chunk in lines(records(), ("n", "text"), "csv"):
        total, largest = total + len(chunk), max(largest, len(chunk))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert total > 10_000_000
    assert largest < CHUNK_BYTES + 10_000
    assert peak < 2_000_000
