from __future__ import annotations

from tests.engine.nodes.running import codes, opened


async def test_open_names_the_child_and_its_input() -> None:
    assert await opened("workflow", {"workflow": "enrich", "version": 3, "input": {"a": 1}, "wait": False}) == {
        "workflow": "enrich",
        "version": 3,
        "input": {"a": 1},
        "wait": False,
    }


async def test_input_defaults_to_the_upstream_output_and_null_is_an_input() -> None:
    assert (await opened("workflow", {"workflow": "enrich"}, upstream=[1]))["input"] == [1]
    assert (await opened("workflow", {"workflow": "enrich", "input": None}, upstream=[1]))["input"] is None


def test_workflow_is_required() -> None:
    issues = [("INVALID_PARAM", "params.version"), ("MISSING_PARAM", "params.workflow")]
    assert sorted(codes("workflow", {"version": 0})) == issues
