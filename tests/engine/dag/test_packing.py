"""Packed plans: the same plan back, short where it is long, read once."""

from __future__ import annotations

import json

from engine.dag.compile import compile_plan
from engine.dag.document import parse_spec
from engine.dag.packing import PLAIN_CHARACTERS, pack_plan, unpack_plan
from engine.dag.plan import Plan
from engine.expressions import AstReferenceParser
from engine.nodes.registry import built_in_catalogue


def plan_of(count: int) -> Plan:
    nodes = [
        {"id": f"n{i}", "type": "transform", "name": f"Größe {i}", "params": {"mapping": {"i": i}}}
        for i in range(count)
    ]
    edges = [{"source": f"n{i}", "target": f"n{i + 1}"} for i in range(count - 1)]
    document = {"schema_version": 1, "name": "packed", "nodes": nodes, "edges": edges}
    return compile_plan(parse_spec(document), built_in_catalogue(), AstReferenceParser())


def test_a_packed_plan_is_the_same_plan() -> None:
    for count in (1, 20, 300):
        plan = plan_of(count)
        assert unpack_plan(pack_plan(plan)) == plan_from_wire(plan)


def plan_from_wire(plan: Plan) -> Plan:
    return Plan.from_wire(json.loads(json.dumps(plan.to_wire())))


def test_a_short_plan_is_json_that_people_can_read() -> None:
    plan = plan_of(2)
    assert json.loads(pack_plan(plan)) == json.loads(json.dumps(plan.to_wire()))


def test_a_long_plan_is_packed_to_a_fraction() -> None:
    plan = plan_of(500)
    plain = len(json.dumps(plan.to_wire()))
    assert plain > PLAIN_CHARACTERS
    assert len(pack_plan(plan)) < plain / 4


def test_executions_of_one_version_share_the_plan() -> None:
    for count in (3, 300):
        packed = pack_plan(plan_of(count))
        assert unpack_plan(packed) is unpack_plan("" + packed.encode().decode())


def test_the_wire_form_of_older_inputs_is_understood() -> None:
    plan = plan_of(5)
    assert unpack_plan(json.loads(json.dumps(plan.to_wire()))) == plan_from_wire(plan)


def test_a_varied_plan_leaves_the_one_that_others_share_as_it_is() -> None:
    plan = unpack_plan(pack_plan(plan_of(3)))
    varied = plan.varied(1, final="skip", retry=None)
    assert (varied.nodes[1].final, varied.by_path["n1"].final) == ("skip", "skip")
    assert (plan.nodes[1].final, plan.by_path["n1"].final) == ("fail", "fail")
