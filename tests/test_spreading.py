from __future__ import annotations

from pathlib import Path

import pytest

from tests.spreading import ALONE, TOGETHER, WAITING, rank_of, unit_of

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("place", [*ALONE, *(part for parts in TOGETHER.values() for part in parts), *WAITING])
def test_every_place_that_is_named_exists(place: str) -> None:
    assert (ROOT / place).exists()


def test_files_that_share_a_server_go_to_one_process() -> None:
    units = {unit_of(f"{path}::test_x") for path in TOGETHER["short histories"]}
    assert units == {"short histories"}
    assert unit_of("tests/engine/activities/clients/brokers/test_pool.py::test_x[a-b]") == "a broker"


def test_a_file_is_dealt_whole() -> None:
    ids = ["tests/api/test_auth.py::test_a", "tests/api/test_auth.py::test_b[x::y]"]
    assert {unit_of(nodeid) for nodeid in ids} == {"tests/api/test_auth.py"}


def test_whole_systems_are_dealt_one_by_one_and_first() -> None:
    ids = ["tests/structforge/test_up.py::test_a", "tests/structforge/test_up.py::test_b"]
    assert [unit_of(nodeid) for nodeid in ids] == ids
    others = ["tests/examples/test_nested.py::a", "tests/api/test_auth.py::a", "tests/engine/dag/test_x.py::a"]
    assert [rank_of(nodeid) for nodeid in [ids[0], *others]] == [0, 1, 2, 3]
