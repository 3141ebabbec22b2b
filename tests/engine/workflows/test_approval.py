"""Approvals: an execution waits for people, for as long as it takes."""

from __future__ import annotations

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.service import RPCError

from engine.settings import Settings
from tests.engine.workflows.asking import approval, only, routed, rows, say, waits
from tests.engine.workflows.effects import Effects
from tests.engine.workflows.lab import Lab, Started, foreach, graph, open_stack, pure

pytestmark = pytest.mark.asyncio(loop_scope="session")
ADA, BEN, CLEO = "ada@example.com", "ben@example.com", "cleo@example.com"
THREE = [ADA, BEN, CLEO]


async def test_approval_goes_on_through_its_port_with_the_word_that_decided(lab: Lab) -> None:
    form = {"type": "object", "properties": {"from": {"type": "string"}}}
    started = await lab.start(routed(message="Pay {{ input.total }}?", form=form), {"total": 7})
    (row,) = await waits(started)
    assert (row.message, row.form, row.approvers, row.quorum) == ("Pay 7?", form, [], 1)
    assert await started.status_of("ask") == "waiting"
    assert await say(started, ADA, "approved")
    ended = await started.end()
    assert ended.states() == {"ask": "success", "approved": "success", "rejected": "pruned", "timeout": "pruned"}
    assert ended.nodes["ask"].port == "approved"
    output = await ended.output_of("approved")
    (word,) = output.pop("decisions")
    assert output == {"decision": "approved", "by": ADA, "form": {"from": ADA}, "comment": "ok"}
    assert word.pop("at") >= row.created_at.timestamp()
    assert word == output
    row = await only(started)
    assert (row.status, [one["by"] for one in row.decisions], row.closed_at is not None) == ("approved", [ADA], True)


async def test_rejection_goes_on_through_its_port(lab: Lab) -> None:
    started = await lab.start(routed())
    await waits(started)
    assert await say(started, BEN, "rejected")
    ended = await started.end()
    assert ended.states() == {"ask": "success", "approved": "pruned", "rejected": "success", "timeout": "pruned"}
    assert (await ended.output_of("rejected"))["by"] == BEN
    assert (await only(started)).status == "rejected"


async def test_quorum_counts_people_and_not_words(lab: Lab) -> None:
    started = await lab.start(routed(approvers=THREE, quorum=2))
    await waits(started)
    assert await say(started, ADA, "approved")
    assert await say(started, ADA, "approved")  # said twice, counted once
    assert not await say(started, ADA, "rejected")  # and no changing of minds
    assert await started.status_of("ask") == "waiting"

    async def shown() -> bool:
        return [one["by"] for one in (await only(started)).decisions] == [ADA]

    await lab.eventually(shown)
    assert await say(started, CLEO, "approved")
    ended = await started.end()
    output = await ended.output_of("approved")
    assert [one["by"] for one in output["decisions"]] == [ADA, CLEO]
    assert output["by"] == CLEO
    assert [one["by"] for one in (await only(started)).decisions] == [ADA, CLEO]


async def test_rejections_that_put_the_quorum_out_of_reach_reject(lab: Lab) -> None:
    started = await lab.start(routed(approvers=THREE, quorum=2))
    await waits(started)
    assert await say(started, ADA, "rejected")  # two of three may still approve
    assert await say(started, BEN, "approved")
    assert await started.status_of("ask") == "waiting"
    assert await say(started, CLEO, "rejected")
    ended = await started.end()
    assert ended.nodes["ask"].port == "rejected"


async def test_time_that_runs_out_goes_on_through_its_port(lab: Lab) -> None:
    started = await lab.start(routed(timeout="300ms"))
    ended = await started.end()
    assert ended.states() == {"ask": "success", "approved": "pruned", "rejected": "pruned", "timeout": "success"}
    assert await ended.output_of("ask") == {
        "decision": "timeout",
        "by": None,
        "form": None,
        "comment": "",
        "decisions": [],
    }
    row = await only(started)
    assert (row.status, row.deadline is not None) == ("timeout", True)


async def test_word_that_comes_too_late_or_for_nobody_is_refused(lab: Lab) -> None:
    started = await lab.start({"nodes": [approval(), lab.hold("held")], "edges": []})
    await waits(started)
    assert not await say(started, ADA, "approved", "nobody")
    assert not await say(started, ADA, "approved", "held")
    assert not await say(started, ADA, "perhaps")
    assert await say(started, ADA, "approved")
    assert not await say(started, BEN, "approved")
    lab.release("held")
    await started.end()
    with pytest.raises((WorkflowUpdateFailedError, RPCError)):
        await say(started, BEN, "approved")


async def test_cancel_ends_an_approval_that_waits(lab: Lab) -> None:
    started = await lab.start(graph(approval(timeout="1h"), pure("after", 1), edges=[]))
    await waits(started)
    await started.cancel()
    ended = await started.end()
    assert ended.status == "cancelled"
    assert ended.states()["ask"] == "cancelled"
    assert (await only(started)).status == "cancelled"


async def test_failure_elsewhere_cancels_an_approval_that_waits(lab: Lab) -> None:
    nodes = [approval(), lab.hold("held"), pure("bad", "{{ 1 / 0 }}")]
    started = await lab.start({"nodes": nodes, "edges": [{"source": "held", "target": "bad"}]})
    await waits(started)
    lab.release("held")
    ended = await started.end()
    assert ended.status == "failed"
    assert ended.states()["ask"] == "cancelled"
    assert (await only(started)).status == "cancelled"


async def test_execution_timeout_ends_an_approval_that_waits(lab: Lab) -> None:
    document = {**routed(), "settings": {"timeout": "1s"}}
    started = await lab.start(document)
    await waits(started)
    ended = await started.end()
    assert ended.status == "timed_out"
    assert ended.states()["ask"] == "cancelled"
    assert (await only(started)).status == "cancelled"


async def test_skip_of_an_approval_rejects(lab: Lab) -> None:
    """Only people approve: whoever skips the node cannot take the way behind `approved`."""
    started = await lab.start(routed())
    await waits(started)
    assert await started.command("skip", "ask", output={"decision": "approved"})
    ended = await started.end()
    assert ended.states() == {"ask": "skipped", "approved": "pruned", "rejected": "success", "timeout": "pruned"}
    assert (await only(started)).status == "cancelled"


async def test_words_are_taken_while_paused_and_what_they_release_waits(lab: Lab) -> None:
    document = routed()
    document["nodes"].append(lab.call("call"))
    document["edges"].append({"source": "approved", "target": "call"})
    started = await lab.start(document)
    await waits(started)
    await started.command("pause")
    assert await say(started, ADA, "approved")
    await started.until("ask", "success")
    assert await started.status_of("approved") == "pending"
    assert lab.calls("call") == 0
    await started.command("resume")
    ended = await started.end()
    assert ended.states()["call"] == "success"


async def test_each_pass_of_a_loop_asks_for_itself(lab: Lab) -> None:
    nodes = [approval(message="Item {{ item }}?"), pure("yes", "{{ item }}"), pure("no", "{{ nodes.ask.output.by }}")]
    ways = [
        {"source": "ask", "source_port": "approved", "target": "yes"},
        {"source": "ask", "source_port": "rejected", "target": "no"},
    ]
    body = {"nodes": nodes, "edges": ways, "outputs": ["{{ nodes.yes.output }}", "{{ nodes.no.output }}"]}
    started = await lab.start(graph(foreach("loop", ["a", "b", "c"], body, concurrency=3)))
    asked = await waits(started, 3)
    assert sorted(row.message for row in asked) == ["Item a?", "Item b?", "Item c?"]
    for index, decision in ((2, "approved"), (0, "approved"), (1, "rejected")):
        assert await say(started, f"p{index}", decision, "loop.body.ask", [index])
    ended = await started.end()
    assert (await ended.output_of("loop"))["items"] == [["a", None], [None, "p1"], ["c", None]]
    assert [row.status for row in sorted(await rows(started), key=lambda row: row.iteration)] == [
        "approved",
        "rejected",
        "approved",
    ]


async def test_assign_of_an_approval_keeps_its_port(lab: Lab) -> None:
    document = routed(assign={"who": "{{ nodes.ask.output.by }}"})
    document["variables"] = {"who": {"default": ""}}
    document["outputs"] = ["{{ vars.who }}", "{{ nodes.approved.status }}", "{{ nodes.rejected.status }}"]
    started = await lab.start(document)
    await waits(started)
    assert await say(started, ADA, "approved")
    ended = await started.end()
    assert await ended.output() == [ADA, "success", "pruned"]


async def test_parameters_that_do_not_fit_fail_the_node(lab: Lab) -> None:
    too_few = approval("few", approvers="{{ input.people }}", quorum=2, on_error="continue")
    no_schema = approval("form", form={"type": "{{ input.kind }}"}, on_error="continue")
    document = {"nodes": [too_few, no_schema], "edges": []}
    ended = await lab.run(document, {"people": [ADA, ADA.upper()], "kind": "no type"})
    assert ended.states() == {"few": "failed", "form": "failed"}
    for node in ("few", "form"):
        error = ended.nodes[node].error
        assert error is not None
        assert error["code"] == "INVALID_CONFIG"


async def test_rerun_from_an_approval_asks_again(lab: Lab) -> None:
    first = await lab.start(routed())
    await waits(first)
    await say(first, ADA, "rejected")
    again = await lab.rerun(await first.end(), "ask")
    await waits(again)
    await say(again, BEN, "approved")
    ended = await again.end()
    assert ended.nodes["ask"].port == "approved"


async def test_rerun_behind_an_approval_keeps_its_port(lab: Lab) -> None:
    document = routed()
    document["nodes"].append(pure("after", "{{ nodes.ask.output.by }}"))
    document["edges"].append({"source": "approved", "target": "after"})
    first = await lab.start(document)
    await waits(first)
    await say(first, ADA, "approved")
    again = await lab.rerun(await first.end(), "after")
    ended = await again.end()
    assert await ended.output_of("after") == ADA
    assert await rows(again) == []


async def test_retry_of_the_execution_asks_again(lab: Lab) -> None:
    nodes = [approval(), pure("bad", "{{ 1 / 0 if nodes.ask.output.by != 'second' else 1 }}")]
    document = {
        "nodes": nodes,
        "edges": [{"source": "ask", "source_port": "approved", "target": "bad"}],
        "settings": {"retry": {"interval": "1ms", "max_attempts": 2, "from": "start"}},
    }
    started = await lab.start(document)
    await waits(started)
    await say(started, "first", "approved")

    async def asked_again() -> bool:
        return [row.status for row in await rows(started)] == ["approved", "open"]

    await lab.eventually(asked_again)
    await say(started, "second", "approved")
    ended = await started.end()
    assert ended.status == "success"
    assert [row.status for row in await rows(started)] == ["approved", "approved"]


async def test_approval_outlives_the_worker(engine_servers: Settings, effects: Effects) -> None:
    settings = engine_servers.override({"worker": {"task_queue": "approval-restarts"}})
    async with open_stack(settings, effects) as stack:
        lab = await Lab.open(stack)
        started = await lab.start(routed(approvers=THREE, quorum=2, timeout="1h"))
        await waits(started)
        assert await say(started, ADA, "approved")
    async with open_stack(settings, effects) as stack:
        again = Lab(stack, lab.tenant)
        handle = stack.runtime.temporal.get_workflow_handle(started.handle.id)
        found = Started(started.id, handle, again)
        assert await say(found, ADA, "approved")
        assert await found.status_of("ask") == "waiting"
        assert await say(found, BEN, "approved")
        ended = await found.end()
        assert (await ended.output_of("approved"))["by"] == BEN
        assert (await only(found)).status == "approved"
