from __future__ import annotations

from tests.engine.nodes.running import codes, run


async def test_output_is_the_execution_input() -> None:
    result = await run("manual", {"trigger_key": "nightly", "timeout": "5m"}, upstream={"a": 1})
    assert result.output == {"a": 1}


def test_timeout_needs_a_unit() -> None:
    assert codes("manual", {"timeout": 5}) == [("INVALID_PARAM", "params.timeout")]
