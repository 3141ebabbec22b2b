"""Every row of the fault table is registered, with parts that together come to its full size."""

from __future__ import annotations

from pathlib import Path

import pytest

import tests.faults.rows
from tests.faults.__main__ import orders
from tests.faults.row import Row
from tests.faults.table import TABLE

HELPERS = {"__init__", "skewed"}


def test_every_module_of_a_row_is_in_the_table() -> None:
    modules = {path.stem for path in Path(tests.faults.rows.__file__ or "").parent.glob("*.py")} - HELPERS
    assert len({row.name for row in TABLE}) == len(TABLE) == len(modules)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_the_parts_of_a_row_come_to_its_full_size(row: Row) -> None:
    parts = [row.part_of(part) for part in range(1, row.parts + 1)]
    assert sum(part.executions for part in parts) == row.full.executions
    assert sum(part.faults for part in parts) == row.full.faults


def test_a_full_run_is_every_part_once_and_a_small_one_is_one_part_a_row() -> None:
    full = [one.place for _, one in orders([*TABLE], full=True, seed=2)]
    assert len(set(full)) == len(full) == sum(row.parts for row in TABLE)
    assert [one.place for _, one in orders([*TABLE], full=False, seed=2)] == [(row.name, "ci", 2, 1) for row in TABLE]
