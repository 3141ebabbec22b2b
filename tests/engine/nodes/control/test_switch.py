from __future__ import annotations

from typing import Any

import pytest

from engine.nodes.base import NodeContext
from tests.engine.nodes.running import codes, node_type, run


def params(value: Any, *cases: Any) -> dict[str, Any]:
    return {
        "switch_value": value,
        "cases": [{"value": case, "output_port": f"p{at}"} for at, case in enumerate(cases)],
    }


@pytest.mark.parametrize(
    ("value", "port"),
    [
        (1, "p0"),
        (1.0, "p0"),
        ("1", "p1"),
        (True, "p2"),
        (None, "p3"),
        ([1, {"a": 2}], "p4"),
        ("x", "default"),
        (0, "default"),
    ],
)
async def test_values_are_compared_as_json(value: Any, port: str) -> None:
    result = await run("switch", params(value, 1, "1", True, None, [1, {"a": 2}]))
    assert result.output == {"port": port, "value": value}
    assert result.port == port
    assert result.passes_upstream


def test_case_that_repeats_another_is_a_warning() -> None:
    (issue,) = node_type("switch").validate_params(params(1, 5, 6, 5.0), "params")
    assert (issue.code, issue.path, issue.severity) == ("UNREACHABLE_CASE", "params.cases[2].value", "warning")
    assert codes("switch", params(1, "{{ input.a }}", "{{ input.a }}")) == []


async def test_first_of_cases_that_became_equal_wins() -> None:
    kind = node_type("switch")
    result = await kind.execute(kind.parse_params(params("x", "x", "x")), NodeContext())
    assert result.port == "p0"


def test_ports_come_from_the_cases() -> None:
    raw = {**params(1, 1, 2), "default_port": "other"}
    assert node_type("switch").ports_for(raw) == ("p0", "p1", "other", "error")
    assert node_type("switch").default_port_for(raw) == "other"
