from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from engine.activities.seeding import descendants, kept_states
from engine.dag.compile import compile_plan
from engine.dag.frame import NodeState
from engine.dag.parsing import parse_spec
from engine.dag.plan import Plan
from engine.dag.values import inline, read
from engine.expressions import AstReferenceParser
from engine.nodes.registry import built_in_catalogue
from models.rows import NodeRow
from models.tenancy import mint_tenant

TENANT, EXECUTION = mint_tenant(uuid4()), uuid4()
UPSTREAM = inline({"n": 2})


def _plan(*edges: str, conditions: str = "", any_of: str = "") -> Plan:
    """A plan of one-letter nodes; `ab` is an edge from a to b, `a>b` one from a's port `yes`."""
    names = dict.fromkeys(letter for edge in edges for letter in edge if letter != ">")
    branch = {"conditions": [{"condition": "True", "output_port": "yes"}]}
    nodes = [
        {
            "id": name,
            "type": "condition" if name in conditions else "transform",
            "params": branch if name in conditions else {"mapping": 1},
            "join": "any" if name in any_of else "all",
        }
        for name in names
    ]
    drawn = [{"source": edge[0], "target": edge[-1], "source_port": "yes" if ">" in edge else "out"} for edge in edges]
    spec = parse_spec({"name": "w", "nodes": nodes, "edges": drawn})
    return compile_plan(spec, built_in_catalogue(), AstReferenceParser())


def _row(name: str, at: int, status: str = "success", **more: Any) -> NodeRow:
    more.setdefault("port", "out" if status == "success" else None)
    moment = datetime.fromtimestamp(at, UTC)
    return NodeRow(
        TENANT, EXECUTION, name, "t", status, output=inline(name), started_at=moment, finished_at=moment, seq=at, **more
    )


def _kept(plan: Plan, rows: list[NodeRow], from_node: str) -> dict[str, NodeState]:
    return {plan.nodes[index].id: state for index, state in kept_states(plan, rows, from_node, UPSTREAM)}


def test_the_node_and_all_behind_it_run_again() -> None:
    plan = _plan("ab", "bc", "ad", "cd")
    rows = [_row(name, at) for at, name in enumerate("abcd")]

    assert descendants(plan, "b") == {"c", "d"}
    assert [*_kept(plan, rows, "b")] == ["a"]


def test_kept_states_come_in_the_order_of_completion() -> None:
    plan = _plan("ax", "bx", "cx")

    assert [*_kept(plan, [_row("a", 3), _row("b", 1), _row("c", 2)], "x")] == ["b", "c", "a"]


def test_nodes_of_one_moment_keep_the_order_of_the_record() -> None:
    plan = _plan("ax", "bx")
    first, second = _row("b", 5), _row("a", 5)
    first.seq, second.seq = 1, 2

    assert [*_kept(plan, [second, first], "x")] == ["b", "a"]


def test_only_settled_outcomes_are_kept() -> None:
    plan = _plan("ax", "bx", "cx", "dx", "ex", "fx")
    rows = [
        _row("a", 1),
        _row("b", 2, "skipped", reason="when"),
        _row("c", 3, "pruned"),
        _row("d", 4, "failed"),  # it ended the execution
        _row("e", 5, "failed", port="error"),  # it was handled
        _row("f", 6, "cancelled"),
    ]
    kept = _kept(plan, rows, "x")

    assert {name: state.reason for name, state in kept.items()} == {"a": "kept", "b": "when", "c": "kept", "e": "kept"}


def test_the_last_generation_of_a_node_counts() -> None:
    plan = _plan("ax")
    old, new = _row("a", 1, "failed", generation=0), _row("a", 2, generation=1, execution_attempt=2)

    assert _kept(plan, [new, old], "x")["a"].status == "success"


def test_a_condition_carries_on_what_it_received() -> None:
    plan = _plan("ac", "c>x", conditions="c")
    kept = _kept(plan, [_row("a", 1), _row("c", 2, port="yes")], "x")

    assert read(kept["c"].port_data) == "a"


def test_a_condition_behind_several_nodes_carries_them_by_name() -> None:
    plan = _plan("ac", "bc", "c>x", conditions="c")
    kept = _kept(plan, [_row("a", 1), _row("b", 2), _row("c", 3, port="yes")], "x")

    assert read(kept["c"].port_data) == {"a": "a", "b": "b"}


def test_a_condition_that_joins_any_carries_the_first() -> None:
    plan = _plan("ac", "bc", "c>x", conditions="c", any_of="c")
    kept = _kept(plan, [_row("a", 2), _row("b", 1), _row("c", 3, port="yes")], "x")

    assert read(kept["c"].port_data) == "b"


def test_an_entry_condition_carries_what_the_graph_received() -> None:
    plan = _plan("c>x", conditions="c")

    assert read(_kept(plan, [_row("c", 1, port="yes")], "x")["c"].port_data) == {"n": 2}


def test_a_dead_edge_gives_nothing() -> None:
    plan = _plan("d>c", "bc", "c>x", conditions="cd")
    kept = _kept(plan, [_row("d", 1, port="else"), _row("b", 2), _row("c", 3, port="yes")], "x")

    assert read(kept["c"].port_data) == "b"


def test_a_condition_that_a_person_skipped_carries_its_output() -> None:
    plan = _plan("ac", "c>x", conditions="c")
    kept = _kept(plan, [_row("a", 1), _row("c", 2, port="yes", reason="operator")], "x")

    assert read(kept["c"].port_data) == "c"
