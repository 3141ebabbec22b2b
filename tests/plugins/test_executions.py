"""Plugins through Temporal: hostile nodes end with typed errors after their attempts, and nobody else notices."""

from __future__ import annotations

from typing import Any

import pytest

from engine.dag.document import read_document
from tests.engine.workflows.lab import Lab, graph, pure
from tests.plugins.conftest import NODE_QUEUE
from tests.plugins.places import EXAMPLE

pytestmark = pytest.mark.asyncio(loop_scope="session")
TWICE = {"strategy": "fixed", "interval": "50ms", "max_attempts": 2}


def act(deed: str, **more: Any) -> dict[str, Any]:
    return {"id": "act", "type": "hostile.act", "params": {"deed": deed}, **more}


async def test_isolated_node_runs_and_its_output_is_read(plugin_lab: Lab) -> None:
    node = {"id": "act", "type": "hostile.act", "params": {"deed": "echo", "text": "{{ input.who }}"}}
    ended = await plugin_lab.run(graph(node, pure("after", "{{ nodes.act.output.text }}")), {"who": "Ada"})
    assert ended.status == "success", ended.error
    assert await ended.output_of("after") == "Ada"
    assert (await ended.output_of("act"))["key"].endswith(":act::0")


async def test_example_workflow_runs(plugin_lab: Lab) -> None:
    document = read_document((EXAMPLE / "stock.yaml").read_bytes(), name="stock.yaml", max_bytes=100_000)
    ended = await plugin_lab.run(document, {"codes": ["4006381333931", "1", "96385074"]}, trigger="start")
    assert ended.status == "success", ended.error
    assert await ended.output() == {"good": 2, "mistyped": ["1"]}


async def test_hostile_nodes_fail_after_their_attempts_while_others_go_on(plugin_lab: Lab) -> None:
    deeds = {"exit": "EXECUTION_FAILED", "loop": "TIMEOUT", "segfault": "EXECUTION_FAILED"}
    hostile = [await plugin_lab.start(graph(act(deed, retry=TWICE, timeout="1500ms"))) for deed in deeds]
    leaking = await plugin_lab.start(graph(act("leak", retry=TWICE)))
    beside = [await plugin_lab.run(graph(act("echo"), pure("after", 1))) for _ in range(5)]
    assert [ended.status for ended in beside] == ["success"] * 5
    for started, code in zip(hostile, deeds.values(), strict=True):
        ended = await started.end()
        assert ended.status == "failed"
        row = ended.nodes["act"]
        assert (row.error or {})["code"] == code
        assert (row.attempts, row.lost) == (2, 0)
    ended = await leaking.end()
    assert (ended.nodes["act"].error or {})["code"] == "RESOURCE_EXHAUSTED"


async def test_failure_of_a_hostile_node_can_be_handled(plugin_lab: Lab) -> None:
    ended = await plugin_lab.run(graph(act("exit", on_error="continue"), pure("after", "{{ nodes.act.error.code }}")))
    assert ended.status == "success"
    assert await ended.output_of("after") == "EXECUTION_FAILED"


async def test_unexpected_error_of_a_plugin_in_the_worker_fails_its_node(plugin_lab: Lab) -> None:
    ended = await plugin_lab.run(graph({"id": "fail", "type": "clumsy.fail"}))
    error = ended.nodes["fail"].error or {}
    assert (ended.status, error["code"]) == ("failed", "EXECUTION_FAILED")
    assert "KeyError" in error["message"]


async def test_cancelled_execution_ends_a_looping_node(plugin_lab: Lab) -> None:
    started = await plugin_lab.start(graph(act("loop", timeout="60s")))
    await started.until("act", "running")
    await started.cancel()
    assert (await started.end()).status == "cancelled"


async def test_routed_nodes_wait_for_workers_of_their_queue(plugin_lab: Lab, node_worker: None) -> None:
    nodes = [plugin_lab.call("call"), {"id": "greet", "type": "apart.greet"}, pure("after", "{{ nodes.greet.output }}")]
    ended = await plugin_lab.run(graph(*nodes))
    assert ended.status == "success", ended.error
    assert await ended.output_of("after") == "hello"
    queues = {
        event.activity_task_scheduled_event_attributes.activity_type.name:
            event.activity_task_scheduled_event_attributes.task_queue.name
        for event in ended.history.events if event.HasField("activity_task_scheduled_event_attributes")
    }  # fmt: skip
    assert queues["execute_node"] == NODE_QUEUE
    assert set(queues.values()) <= {NODE_QUEUE, "plugins-test"}


async def test_without_such_a_worker_they_wait_and_harm_nobody(plugin_lab: Lab) -> None:
    waiting = await plugin_lab.start(graph({"id": "greet", "type": "apart.greet"}))
    assert (await plugin_lab.run(graph(pure("other", 1)))).status == "success"

    async def is_scheduled() -> bool:
        described = await waiting.handle.describe()
        return [one.activity_type.name for one in described.raw_description.pending_activities] == ["execute_node"]

    await plugin_lab.eventually(is_scheduled)
    await waiting.cancel()
    assert (await waiting.end()).status == "cancelled"
