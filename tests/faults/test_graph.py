"""The graph of the fault runs is valid, and what it must come to is worked out right."""

from __future__ import annotations

from engine.dag.parsing import parse_spec
from engine.dag.validate import validate
from engine.expressions import AstReferenceParser
from engine.nodes.registry import built_in_catalogue
from tests.faults.graph import NODES, document, expected


def test_the_document_has_thirty_nodes_and_no_issues() -> None:
    spec = parse_spec(document("http://127.0.0.1:1"))
    assert len(spec.nodes) == NODES == 30
    assert validate(spec, built_in_catalogue(), AstReferenceParser()) == []


def test_expected_follows_the_lanes_by_hand() -> None:
    output, statuses, answers = expected(0)
    # Lane b starts at 1: call 10, step 10; call 73, step 74; call 521, step 523; call 3664, step 3667.
    assert [answers[f"b{stage}_call"] for stage in range(4)] == [10, 73, 521, 3664]
    # Lane a starts at 0: call 3, step 3; call 24, step 25; call 178, step 180 + b's 74 = 254; call 1781, step 1784.
    assert [answers[f"a{stage}_call"] for stage in range(4)] == [3, 24, 178, 1781]
    # Lane c starts at 2: call 17, step 17; call 122, step 123; call 864, step 866; call 6065, step 6068.
    assert output == {"total": 1784 + 3667 + 6068, "odd": 7 * 11519 + 3, "even": None}
    assert (statuses["odd"], statuses["even"], len(statuses)) == ("success", "pruned", NODES)
