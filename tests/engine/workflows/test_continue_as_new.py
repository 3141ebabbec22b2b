"""Long executions go on in a new Temporal run, and nobody notices. The server suggests it after 30 events here."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.workflows.lab import Lab, Started, foreach, graph, pure

pytestmark = pytest.mark.asyncio(loop_scope="session")


def steps(lab: Lab, count: int, prefix: str = "step") -> list[dict[str, Any]]:
    """I/O nodes one after the other; about six events each."""
    return [lab.call(f"{prefix}{number}") for number in range(count)]


async def continued(started: Started) -> None:
    async def holds() -> bool:
        return await started.runs() > 1

    await started.lab.eventually(holds)


async def test_long_chain_keeps_variables_outputs_and_the_record(short_lab: Lab) -> None:
    nodes = [
        lab_node | {"assign": {"total": "{{ vars.total + 1 }}"}, "isolate": True}
        for lab_node in (pure(f"n{number}", {"at": number}) for number in range(20))
    ]
    last = pure("last", ["{{ vars.total }}", "{{ nodes.n0.output.at }}", "{{ nodes.n19.output.at }}"])
    started = await short_lab.start(graph(*nodes, last, variables={"total": {"default": 0}}))
    ended = await started.end()
    assert await ended.output() == {"last": [20, 0, 19]}
    assert set(ended.states().values()) == {"success"}
    assert len(ended.all) == 21
    assert await started.runs() > 1


async def test_pause_outlives_it(short_lab: Lab) -> None:
    lab = short_lab
    started = await lab.start(graph(*steps(lab, 5), lab.hold("held"), *steps(lab, 3, "more")))
    await lab.seen("held")
    await started.command("pause")
    lab.release("held")
    await started.until("held", "success")
    await continued(started)
    assert (await started.handle.query("state"))["status"] == "paused"
    assert lab.calls("more0") == 0
    await started.command("resume")
    ended = await started.end()
    assert set(ended.states().values()) == {"success"}


async def test_delay_is_carried_as_a_deadline(short_lab: Lab) -> None:
    lab = short_lab
    delay = {"id": "wait", "type": "delay", "params": {"delay": "3s"}}
    nodes = [delay, pure("after", "{{ nodes.wait.output }}"), *steps(lab, 12)]
    edges = [{"source": "wait", "target": "after"}]
    edges += [{"source": f"step{number}", "target": f"step{number + 1}"} for number in range(11)]
    started = await lab.start({"nodes": nodes, "edges": edges})
    await continued(started)
    ended = await started.end()
    assert set(ended.states().values()) == {"success"}
    row = ended.nodes["wait"]
    assert row.started_at is not None
    assert row.finished_at is not None
    waited_s = (row.finished_at - row.started_at).total_seconds()
    assert 3 <= waited_s < 5.5  # begun anew in the second run, it would be over 3 s by what had passed before


async def test_cancel_acts_in_a_delay_of_an_earlier_run(short_lab: Lab) -> None:
    lab = short_lab
    delay = {"id": "wait", "type": "delay", "params": {"delay": "1h"}}
    nodes = [delay, pure("after", 1), *steps(lab, 8)]
    edges = [{"source": "wait", "target": "after"}]
    edges += [{"source": f"step{number}", "target": f"step{number + 1}"} for number in range(7)]
    started = await lab.start({"nodes": nodes, "edges": edges})
    await lab.seen("step7")
    await started.until("step7", "success")
    await continued(started)
    await started.cancel()
    ended = await started.end()
    assert ended.status == "cancelled"
    assert ended.states()["wait"] == "cancelled"
    assert ended.states()["after"] == "cancelled"
    assert ended.states()["step7"] == "success"
    assert len(ended.all) == 10


async def test_skip_reaches_a_node_that_an_earlier_run_started(short_lab: Lab) -> None:
    lab = short_lab
    delay = {"id": "wait", "type": "delay", "params": {"delay": "1h"}}
    nodes = [delay, pure("after", "{{ nodes.wait.output }}"), *steps(lab, 8)]
    edges = [{"source": "wait", "target": "after"}]
    edges += [{"source": f"step{number}", "target": f"step{number + 1}"} for number in range(7)]
    started = await lab.start({"nodes": nodes, "edges": edges})
    await continued(started)
    assert await started.command("skip", "wait", output="x")
    ended = await started.end()
    assert await ended.output_of("after") == "x"


async def test_timeout_counts_from_the_first_run(short_lab: Lab) -> None:
    lab = short_lab
    delay = {"id": "wait", "type": "delay", "params": {"delay": "1h"}}
    handler = graph(pure("handler", "{{ error.code }}"))
    document = graph(*steps(lab, 8), delay, settings={"timeout": "5s"}, handlers=handler)
    started = await lab.start(document)
    await continued(started)
    ended = await started.end()
    assert ended.status == "timed_out"
    assert await ended.output_of("handler") == "TIMEOUT"


async def test_child_workflow_is_found_again(short_lab: Lab) -> None:
    lab = short_lab
    await lab.save({"name": "child-held", **graph(lab.hold("inner"), outputs="{{ nodes.inner.output.body.ok }}")})
    child = {"id": "child", "type": "workflow", "params": {"workflow": "child-held"}}
    nodes = [child, pure("after", "{{ nodes.child.output.outputs }}"), *steps(lab, 8)]
    edges = [{"source": "child", "target": "after"}]
    edges += [{"source": f"step{number}", "target": f"step{number + 1}"} for number in range(7)]
    started = await lab.start({"nodes": nodes, "edges": edges})
    await lab.seen("inner")
    await continued(started)
    lab.release("inner")
    ended = await started.end()
    assert await ended.output_of("after") is True
    assert lab.calls("inner") == 1


async def test_child_workflow_of_an_earlier_run_is_cancelled_with_its_parent(short_lab: Lab) -> None:
    lab = short_lab
    await lab.save({"name": "child-held", **graph(lab.hold("inner"))})
    child = {"id": "child", "type": "workflow", "params": {"workflow": "child-held"}}
    nodes = [child, *steps(lab, 8)]
    edges = [{"source": f"step{number}", "target": f"step{number + 1}"} for number in range(7)]
    started = await lab.start({"nodes": nodes, "edges": edges})
    await lab.seen("inner")
    await continued(started)
    await started.cancel()
    ended = await started.end()
    assert ended.states()["child"] == "cancelled"


async def test_loop_of_io_passes_goes_on_where_it_was(short_lab: Lab) -> None:
    lab = short_lab
    body = graph(pure("io", "{{ item * 2 }}", isolate=True), outputs="{{ nodes.io.output }}")
    started = await lab.start(
        graph(foreach("loop", list(range(20)), body, concurrency=2), pure("after", "{{ nodes.loop.output['items'] }}"))
    )
    ended = await started.end()
    assert await ended.output() == {"after": [2 * number for number in range(20)]}
    assert len(ended.all) == 22
    assert await started.runs() > 1


async def test_failed_node_and_error_handling_outlive_it(short_lab: Lab) -> None:
    lab = short_lab
    bad = lab.call("bad", "bad", on_error="continue")
    nodes = [bad, *steps(lab, 8), pure("after", "{{ nodes.bad.error.code }}")]
    ended = await lab.run(graph(*nodes))
    assert await ended.output() == {"after": "EXTERNAL_ERROR"}
    assert ended.row.handled_failures == 1
    assert ended.states()["bad"] == "failed"


async def test_children_opened_at_any_point_are_started_once(short_lab: Lab) -> None:
    """Wherever the run ends, a child that was asked for and not started yet is started by the next run."""
    lab = short_lab
    await lab.save({"name": "child-quick", **graph(pure("inner", "{{ input.number }}"))})
    children = [
        {"id": f"child{number}", "type": "workflow", "params": {"workflow": "child-quick", "input": {"number": number}}}
        for number in range(10)
    ]
    started = await lab.start(graph(*children))
    ended = await started.end()
    assert set(ended.states().values()) == {"success"}
    outputs = [(await ended.output_of(f"child{number}"))["outputs"] for number in range(10)]
    assert outputs == [{"inner": number} for number in range(10)]
    assert await started.runs() > 1
