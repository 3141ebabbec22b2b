"""The `workflow` node: other workflows as child executions."""

from __future__ import annotations

from uuid import UUID

import pytest

from models.repositories.execution_lists import ExecutionLists
from models.repositories.executions import Executions
from tests.engine.workflows.lab import Lab, graph, pure

pytestmark = pytest.mark.asyncio(loop_scope="session")


def child(name: str, **params: object) -> dict[str, object]:
    more = {key: params.pop(key) for key in ("retry", "on_error") if key in params}
    return {"id": "child", "type": "workflow", "params": {"workflow": name, **params}, **more}


async def test_child_gets_its_input_and_gives_its_outputs(lab: Lab) -> None:
    await lab.save({"name": "double", **graph(pure("x", "{{ input.n * 2 }}"), outputs="{{ nodes.x.output }}")})
    ended = await lab.run(graph(child("double", input={"n": 21}), pure("after", "{{ nodes.child.output.outputs }}")))
    assert await ended.output() == {"after": 42}
    identifier = UUID((await ended.output_of("child"))["execution_id"])
    row = await Executions(lab.stack.runtime.database).get(lab.tenant, identifier)
    assert (row.status, row.parent_execution_id) == ("success", ended.row.id)


async def test_child_that_is_not_waited_for_goes_on_alone(lab: Lab) -> None:
    await lab.save({"name": "held", **graph(lab.hold("inner"))})
    ended = await lab.run(graph(child("held", wait=False)))
    identifier = UUID((await ended.output_of("child"))["execution_id"])
    await lab.seen("inner")
    lab.release("inner")
    rows = Executions(lab.stack.runtime.database)

    async def has_ended() -> bool:
        return (await rows.get(lab.tenant, identifier)).status == "success"

    await lab.eventually(has_ended)


async def test_failing_child_fails_the_node_with_its_error(lab: Lab) -> None:
    await lab.save({"name": "broken", **graph(lab.call("inner", "bad"))})
    nodes = [child("broken", on_error="continue"), pure("after", "{{ nodes.child.error.code }}")]
    ended = await lab.run(graph(*nodes))
    assert ended.states()["child"] == "failed"
    assert await ended.output() == {"after": "EXTERNAL_ERROR"}


async def test_retry_of_a_child_is_a_new_execution(lab: Lab) -> None:
    await lab.save({"name": "flaky", **graph(lab.call("inner", "flaky", "?fails=1"))})
    ended = await lab.run(graph(child("flaky", retry={"max_attempts": 2, "interval": "10ms"})))
    assert ended.status == "success"
    assert ended.nodes["child"].attempts == 2
    assert len({call.key for call in lab.effects.of(lab.name("inner"))}) == 2


async def test_unknown_child_and_bad_input_are_failures_of_the_node(lab: Lab) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n"]}
    await lab.save({"name": "strict", "inputs": schema, **graph(pure("x", 1))})
    unknown = await lab.run(graph(child("nobody")))
    assert unknown.error is not None
    assert unknown.error["code"] == "INVALID_CONFIG"
    refused = await lab.run(graph(child("strict", input={"n": "x"})))
    assert refused.error is not None
    assert refused.error["code"] == "INVALID_CONFIG"


async def test_cancel_ends_the_child_too(lab: Lab) -> None:
    await lab.save({"name": "held", **graph(lab.hold("inner"))})
    started = await lab.start(graph(child("held")))
    await lab.seen("inner")
    await started.cancel()
    ended = await started.end()
    assert ended.states() == {"child": "cancelled"}
    rows = await ExecutionLists(lab.stack.runtime.database).page(lab.tenant)
    assert {row.status for row in rows.items} == {"cancelled"}


async def test_workflow_that_calls_itself_ends_at_the_depth_limit(lab: Lab) -> None:
    await lab.save({"name": "again", **graph(child("again"))})
    ended = await lab.run(graph(child("again")))
    assert ended.status == "failed"
    assert ended.error is not None
    assert ended.error["code"] == "RESOURCE_EXHAUSTED"
