from __future__ import annotations

from typing import Any

import pytest

from engine.errors import NodeError
from engine.expressions.evaluator import Evaluator
from tests.engine.nodes.running import codes, node_type, run

TWO = {
    "conditions": [
        {"condition": "{{ input.total > 100 }}", "output_port": "large"},
        {"condition": "input.total > 10", "output_port": "middle"},
    ],
    "default_port": "small",
}


@pytest.mark.parametrize(("total", "port"), [(500, "large"), (50, "middle"), (5, "small")])
async def test_first_condition_that_holds_names_the_port(evaluator: Evaluator, total: int, port: str) -> None:
    result = await run("condition", TWO, evaluator, scope={"input": {"total": total}})
    assert result.output == {"port": port}
    assert result.port == port


async def test_port_carries_the_upstream_output(evaluator: Evaluator) -> None:
    result = await run("condition", TWO, evaluator, scope={"input": {"total": 1}})
    assert result.carried({"rows": [1]}) == {"rows": [1]}
    assert not node_type("condition").reads_upstream


async def test_condition_behind_the_first_hit_may_fail(evaluator: Evaluator) -> None:
    params = {
        "conditions": [{"condition": True, "output_port": "yes"}, {"condition": "1 / 0", "output_port": "never"}],
    }
    assert (await run("condition", params, evaluator)).port == "yes"


async def test_condition_that_fails_before_any_hit_fails_the_node(evaluator: Evaluator) -> None:
    params = {"conditions": [{"condition": "1 / 0 > 1", "output_port": "a"}, {"condition": True, "output_port": "b"}]}
    with pytest.raises(NodeError, match=r"conditions\[0\].condition: ") as caught:
        await run("condition", params, evaluator)
    assert caught.value.code == "EXPRESSION_ERROR"


def test_ports_are_known_from_the_raw_parameters() -> None:
    kind = node_type("condition")
    assert kind.ports_for(TWO) == ("large", "middle", "small", "error")
    assert kind.default_port_for(TWO) == "small"
    assert kind.ports_for({}) == ("else", "error")
    assert kind.ports_for({"conditions": [None, {"output_port": 3}, {"output_port": "a"}]}) == ("a", "else", "error")


@pytest.mark.parametrize("port", ["{{ input.port }}", "error", "in", "", "9a", "a b", "x" * 65])
def test_port_must_be_a_constant_name(port: str) -> None:
    params: dict[str, Any] = {"conditions": [{"condition": True, "output_port": port}]}
    assert ("INVALID_PARAM", "params.conditions[0].output_port") in codes("condition", params)


def test_conditions_must_not_be_empty() -> None:
    assert codes("condition", {"conditions": []}) == [("INVALID_PARAM", "params.conditions")]
