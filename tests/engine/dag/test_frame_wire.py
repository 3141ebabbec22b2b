"""The state of a node survives its wire form in every field, and the form is the one that histories hold."""

from __future__ import annotations

from typing import Any

import pytest

from engine.dag.frame import NodeState
from engine.dag.values import NULL, inline

# One position a field; a worker of an older version reads them by their places.
FIELDS: list[tuple[str, Any, Any]] = [
    ("status", "failed", "pending"),
    ("pending", 3, 0),
    ("live", [1, 4], []),
    ("reason", "error", None),
    ("output", inline({"a": 1}), NULL),
    ("port", "out", None),
    ("data", inline([1]), None),
    ("error", {"code": "X"}, None),
    ("attempts", 2, 0),
    ("assigned", {"v": inline(1)}, None),
    ("started_at", 10.5, 0.0),
    ("finished_at", 11.5, 0.0),
    ("generation", 4, 0),
    ("opened", {"count": 2}, None),
    ("checkpoint", inline("c"), None),
    ("override", inline("o"), None),
    ("deadline", 12.5, 0.0),
    ("before", {"v": inline(0)}, None),
]
SETTLED = ("success", "failed", "skipped", "pruned", "cancelled")


def full() -> NodeState:
    state = NodeState(0)
    for name, value, _ in FIELDS:
        setattr(state, name, value)
    return state


def test_a_fresh_state_has_nothing_but_its_edges() -> None:
    state = NodeState(2)
    assert state.pending == 2
    assert {name: getattr(state, name) for name, _, _ in FIELDS if name != "pending"} == {
        name: empty for name, _, empty in FIELDS if name != "pending"
    }
    assert state.to_wire() == ["pending", 2]


def test_every_field_has_its_place() -> None:
    assert full().to_wire() == [value for _, value, _ in FIELDS]


@pytest.mark.parametrize("upto", range(1, len(FIELDS) + 1))
def test_a_row_comes_back_whole_and_empty_ends_are_dropped(upto: int) -> None:
    state = NodeState(0)
    for name, value, _ in FIELDS[:upto]:
        setattr(state, name, value)
    wire = state.to_wire()
    assert len(wire) == upto
    back = NodeState.from_wire(wire) if upto > 1 else NodeState.from_wire([*wire, 0])
    expected = [(name, value) for name, value, _ in FIELDS[:upto]] + [(name, empty) for name, _, empty in FIELDS[upto:]]
    for name, value in expected:
        assert getattr(back, name) == value, name


@pytest.mark.parametrize("status", [*SETTLED, "pending", "queued", "running", "closing", "waiting", "retrying"])
def test_a_node_has_settled_in_five_states_alone(status: str) -> None:
    state = NodeState(0)
    state.status = status
    assert state.settled is (status in SETTLED)


def test_a_port_carries_its_data_or_the_output() -> None:
    state = full()
    assert state.port_data == inline([1])
    state.data = None
    assert state.port_data == inline({"a": 1})


def test_a_view_shows_five_things_without_empty_ends() -> None:
    state = full()
    assert state.view() == ["failed", inline({"a": 1}), "out", inline([1]), {"code": "X"}]
    assert NodeState(0).view() == ["pending", NULL]
