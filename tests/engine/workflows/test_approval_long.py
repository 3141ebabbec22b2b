"""Approvals that outlive a Temporal run, and those inside shards."""

from __future__ import annotations

from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.service import RPCError

from engine.contracts import APPROVE, Command
from tests.engine.workflows.asking import approval, only, routed, rows, say, waits
from tests.engine.workflows.lab import Lab, Started, foreach, graph
from tests.engine.workflows.test_continue_as_new import continued, steps
from tests.engine.workflows.test_shards import heavy, shards_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


def beside(lab: Lab, count: int = 8, **params: Any) -> dict[str, Any]:
    """An approval, and as many steps beside it as make the run continue as new."""
    document = routed(**params)
    document["nodes"] += steps(lab, count)
    document["edges"] += [{"source": f"step{n}", "target": f"step{n + 1}"} for n in range(count - 1)]
    return document


# ---- across continue-as-new


async def test_approval_of_an_earlier_run_is_decided_in_a_later_one(short_lab: Lab) -> None:
    lab = short_lab
    started = await lab.start(beside(lab, approvers=["a", "b", "c"], quorum=2, timeout="1h"))
    await waits(started)
    assert await say(started, "a", "approved")
    await continued(started)
    assert await say(started, "a", "approved")
    assert await started.status_of("ask") == "waiting"
    assert await say(started, "b", "approved")
    ended = await started.end()
    assert ended.nodes["ask"].port == "approved"
    assert [one["by"] for one in (await ended.output_of("approved"))["decisions"]] == ["a", "b"]
    row = await only(started)
    assert (row.status, len(row.decisions)) == ("approved", 2)


async def test_time_of_an_approval_is_carried_as_a_deadline(short_lab: Lab) -> None:
    lab = short_lab
    started = await lab.start(beside(lab, 12, timeout="3s"))
    await continued(started)
    ended = await started.end()
    node = ended.nodes["ask"]
    assert node.port == "timeout"
    assert node.started_at is not None
    assert node.finished_at is not None
    assert 3 <= (node.finished_at - node.started_at).total_seconds() < 20
    assert (await only(started)).status == "timeout"


async def test_cancel_ends_an_approval_of_an_earlier_run(short_lab: Lab) -> None:
    lab = short_lab
    started = await lab.start(beside(lab))
    await waits(started)
    await lab.seen("step7")
    await continued(started)
    await started.cancel()
    ended = await started.end()
    assert ended.states()["ask"] == "cancelled"
    assert (await only(started)).status == "cancelled"


async def test_approvals_that_open_at_any_point_are_asked_once(short_lab: Lab) -> None:
    """Wherever the run ends, an approval is there to be decided, and has one row."""
    lab = short_lab
    nodes = [one for number in range(8) for one in (*steps(lab, 1, f"s{number}_"), approval(f"ask{number}"))]
    edges = [{"source": f"s{number}_0", "target": f"ask{number}"} for number in range(8)]
    edges += [{"source": f"s{number}_0", "target": f"s{number + 1}_0"} for number in range(7)]
    started = await lab.start({"nodes": nodes, "edges": edges})
    await waits(started, 8)
    for number in range(8):
        assert await say(started, "a", "approved", f"ask{number}")
    ended = await started.end()
    assert set(ended.states().values()) == {"success"}
    assert [row.status for row in await rows(started)] == ["approved"] * 8
    assert await started.runs() > 1


# ---- inside shards


async def _say_to_shard(lab: Lab, started: Started, index: int, decision: str) -> bool:
    """As the API does: to the Temporal workflow that the row names, which answers for itself."""
    (row,) = [one for one in await rows(started) if one.iteration == [index]]
    word = Command(APPROVE, row.node_path, row.iteration, decision=decision, by="a", approval=str(row.id))
    return await lab.stack.runtime.temporal.get_workflow_handle(row.temporal_id).execute_update("command", word)


async def test_approvals_in_shards_take_words_from_the_parent_and_their_own(lab: Lab) -> None:
    body = heavy(approval(), outputs="{{ nodes.ask.output.decision }}")
    started = await lab.start(graph(foreach("loop", list(range(4)), body, concurrency=4)))
    asked = await waits(started, 3)  # two shards, which share the concurrency
    assert {row.temporal_id for row in asked} == set(await shards_of(lab, started))
    assert await say(started, "a", "approved", "loop.body.ask", [0])  # through the parent, by signal
    assert await _say_to_shard(lab, started, 1, "rejected")
    await waits(started, 2)
    assert not await _say_to_shard(lab, started, 1, "approved")
    assert await _say_to_shard(lab, started, 3, "approved")
    await waits(started, 1)
    assert await _say_to_shard(lab, started, 2, "approved")
    ended = await started.end()
    assert (await ended.output_of("loop"))["items"] == ["approved", "rejected", "approved", "approved"]
    with pytest.raises((WorkflowUpdateFailedError, RPCError)):
        await _say_to_shard(lab, started, 2, "approved")


async def test_word_for_another_asking_is_refused(lab: Lab) -> None:
    started = await lab.start(routed())
    (row,) = await waits(started)
    word = Command(APPROVE, "ask", decision="approved", by="a", approval=str(started.id))
    assert not await started.handle.execute_update("command", word)
    word.approval = str(row.id)
    assert await started.handle.execute_update("command", word)
    assert (await started.end()).nodes["ask"].port == "approved"


async def test_cancel_ends_approvals_in_shards(lab: Lab) -> None:
    started = await lab.start(graph(foreach("loop", list(range(4)), heavy(approval()), concurrency=2)))
    await waits(started, 2)
    await started.cancel()
    ended = await started.end()
    assert ended.states()["loop.body.ask[0]"] == "cancelled"
    assert [row.status for row in await rows(started)] == ["cancelled", "cancelled"]


async def test_time_runs_out_in_shards_too(lab: Lab) -> None:
    body = heavy(approval(timeout="100ms"), outputs="{{ nodes.ask.output.decision }}")
    ended = await lab.run(graph(foreach("loop", list(range(4)), body, concurrency=2)))
    assert (await ended.output_of("loop"))["items"] == ["timeout"] * 4
