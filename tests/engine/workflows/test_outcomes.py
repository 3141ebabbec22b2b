"""How nodes and executions end on the real engine: policies, attempts, handlers, timeouts, reruns, variables."""

from __future__ import annotations

import pytest

from tests.engine.workflows.lab import Lab, chain, foreach, graph, pure

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_failure_runs_the_handlers_and_fails(lab: Lab) -> None:
    handlers = graph(lab.call("alarm"), pure("told", ["{{ error.code }}", "{{ nodes.before.output }}"]))
    document = graph(pure("before", 5), lab.call("bad", "bad"), lab.call("never"), handlers=handlers)
    ended = await lab.run(document)
    assert ended.status == "failed"
    assert ended.error is not None
    assert (ended.error["code"], ended.error["node"]) == ("EXTERNAL_ERROR", "bad")
    assert await ended.output_of("told") == ["EXTERNAL_ERROR", 5]
    assert ended.states()["never"] == "cancelled"
    assert (lab.calls("alarm"), lab.calls("never")) == (1, 0)


async def test_failure_of_a_handler_changes_nothing_else(lab: Lab) -> None:
    ended = await lab.run(graph(pure("bad", "{{ 1 // 0 }}"), handlers=graph(lab.call("alarm", "bad"))))
    assert ended.status == "failed"
    assert ended.error is not None
    assert ended.error["node"] == "bad"
    assert ended.states() == {"bad": "failed", "alarm": "failed"}


async def test_failure_cancels_what_runs_and_starts_nothing_more(lab: Lab) -> None:
    nodes = [lab.hold("held"), lab.call("next"), lab.hold("bad0"), pure("bad", "{{ 1 // 0 }}")]
    started = await lab.start({"nodes": nodes, "edges": [*chain("held", "next"), *chain("bad0", "bad")]})
    await lab.seen("held")
    await lab.seen("bad0")
    lab.release("bad0")
    ended = await started.end()
    assert ended.states() == {"held": "cancelled", "next": "cancelled", "bad0": "success", "bad": "failed"}


async def test_error_port_takes_the_failure_and_out_dies(lab: Lab) -> None:
    nodes = [lab.call("bad", "bad"), pure("mend", "{{ nodes.bad.output.error.code }}"), pure("fine", 1)]
    edges = [{"source": "bad", "source_port": "error", "target": "mend"}, {"source": "bad", "target": "fine"}]
    ended = await lab.run({"nodes": nodes, "edges": edges})
    assert ended.status == "success"
    assert ended.states() == {"bad": "failed", "mend": "success", "fine": "pruned"}
    assert await ended.output_of("mend") == "EXTERNAL_ERROR"
    assert ended.row.handled_failures == 1


async def test_skip_on_error_passes_the_input_on(lab: Lab) -> None:
    after = {"id": "after", "type": "filter", "params": {"condition": "item > 1"}}
    ended = await lab.run(graph(pure("before", [1, 2, 3]), lab.call("bad", "bad", on_error="skip"), after))
    assert ended.states() == {"before": "success", "bad": "skipped", "after": "success"}
    assert (await ended.output_of("after"))["items"] == [2, 3]


@pytest.mark.parametrize("strategy", ["fixed", "exponential"])
async def test_io_node_is_retried_by_its_policy_with_one_key(lab: Lab, strategy: str) -> None:
    retry = {"max_attempts": 3, "interval": "20ms", "strategy": strategy}
    ended = await lab.run(graph(lab.call("flaky", "flaky", "?fails=2", retry=retry)))
    assert ended.status == "success"
    assert ended.nodes["flaky"].attempts == 3
    calls = lab.effects.of(lab.name("flaky"))
    assert len(calls) == 3
    assert {call.key for call in calls} == {f"{ended.row.id}:flaky::0"}


async def test_exponential_waits_grow_and_fixed_waits_do_not(lab: Lab) -> None:
    retry = {"max_attempts": 4, "interval": "150ms"}
    nodes = [
        lab.call("fixed", "flaky", "?fails=9", retry={**retry, "strategy": "fixed"}, then="continue"),
        lab.call("growing", "flaky", "?fails=9", retry={**retry, "strategy": "exponential"}, then="continue"),
    ]
    ended = await lab.run({"nodes": nodes, "edges": []})
    assert ended.nodes["fixed"].attempts == ended.nodes["growing"].attempts == 4
    spans = {}
    for name in ("fixed", "growing"):
        starts = [call.started for call in lab.effects.of(lab.name(name))]
        spans[name] = starts[-1] - starts[0]
    # 3 x 150 ms against 150 + 300 + 600 ms
    assert spans["fixed"] >= 0.45
    assert spans["growing"] >= 1.05


async def test_error_that_is_not_retryable_ends_the_attempts(lab: Lab) -> None:
    retry = {"max_attempts": 5, "interval": "10ms"}
    ended = await lab.run(graph(lab.call("bad", "bad", retry=retry)))
    assert ended.status == "failed"
    assert lab.calls("bad") == 1


async def test_local_node_leaves_its_region_to_be_retried(lab: Lab) -> None:
    heavy = pure("heavy", "{{ [x for x in range(10**9)] }}", retry={"max_attempts": 2, "interval": "10ms"})
    ended = await lab.run(graph(heavy | {"then": "continue"}, pure("after", "{{ nodes.heavy.error.code }}")))
    assert ended.status == "success"
    assert ended.states()["heavy"] == "failed"
    assert ended.nodes["heavy"].attempts in (1, 2)


async def test_node_timeout_bounds_one_attempt(lab: Lab) -> None:
    slow = lab.call("slow", "slow", "?ms=5000", timeout="200ms", retry={"max_attempts": 2, "interval": "10ms"})
    ended = await lab.run(graph(slow))
    assert ended.status == "failed"
    assert ended.nodes["slow"].error is not None
    assert ended.nodes["slow"].error["code"] == "TIMEOUT"
    assert lab.calls("slow") == ended.nodes["slow"].attempts == 2


async def test_execution_timeout_runs_handlers_and_ends_timed_out(lab: Lab) -> None:
    handlers = graph(pure("told", "{{ error.code }}"))
    document = graph(lab.hold("held"), lab.call("never"), settings={"timeout": "400ms"}, handlers=handlers)
    ended = await lab.run(document)
    assert ended.status == "timed_out"
    assert ended.states() == {"held": "cancelled", "never": "cancelled", "told": "success"}
    assert await ended.output_of("told") == "TIMEOUT"


async def test_execution_timeout_acts_in_a_delay_and_while_paused(lab: Lab) -> None:
    delay = {"id": "wait", "type": "delay", "params": {"delay": "1h"}}
    started = await lab.start(graph(delay, settings={"timeout": "700ms"}))
    await started.command("pause")
    ended = await started.end()
    assert ended.status == "timed_out"
    assert ended.states() == {"wait": "cancelled"}


async def test_execution_retry_from_failed_keeps_what_succeeded(lab: Lab) -> None:
    nodes = [lab.call("first"), lab.call("flaky", "flaky", "?fails=1"), lab.call("last")]
    settings = {"retry": {"strategy": "fixed", "interval": "10ms", "max_attempts": 2, "from": "failed"}}
    ended = await lab.run(graph(*nodes, settings=settings))
    assert ended.status == "success"
    assert (lab.calls("first"), lab.calls("flaky"), lab.calls("last")) == (1, 2, 1)
    assert ended.nodes["flaky"].execution_attempt == 2


async def test_execution_retry_from_start_runs_everything_again_in_a_new_generation(lab: Lab) -> None:
    nodes = [lab.call("first"), lab.call("flaky", "flaky", "?fails=1")]
    settings = {"retry": {"strategy": "fixed", "interval": "10ms", "max_attempts": 2, "from": "start"}}
    ended = await lab.run(graph(*nodes, settings=settings))
    assert ended.status == "success"
    assert lab.calls("first") == 2
    assert len({call.key for call in lab.effects.of(lab.name("first"))}) == 2
    assert ended.nodes["first"].generation == 1
    assert len(ended.all) == 4


async def test_handlers_run_once_after_the_last_attempt(lab: Lab) -> None:
    settings = {"retry": {"strategy": "fixed", "interval": "10ms", "max_attempts": 3, "from": "failed"}}
    ended = await lab.run(graph(lab.call("bad", "bad"), settings=settings, handlers=graph(lab.call("alarm"))))
    assert ended.status == "failed"
    assert (lab.calls("bad"), lab.calls("alarm")) == (3, 1)


async def test_cancel_acts_while_the_execution_waits_for_its_next_attempt(lab: Lab) -> None:
    settings = {"retry": {"strategy": "fixed", "interval": "1h", "max_attempts": 2, "from": "failed"}}
    started = await lab.start(graph(lab.call("bad", "bad"), settings=settings))
    await started.until("bad", "failed")
    await started.cancel()
    ended = await started.end()
    assert ended.status == "cancelled"
    assert ended.states() == {"bad": "failed"}


async def test_rerun_keeps_outcomes_and_variables_before_the_node(lab: Lab) -> None:
    nodes = [
        lab.call("first", assign={"seen": "{{ nodes.first.output.status }}"}),
        lab.call("second"),
        pure("last", ["{{ vars.seen }}", "{{ nodes.second.status }}"]),
    ]
    document = graph(*nodes, variables={"seen": {"default": 0}})
    first = await lab.run(document)
    second = await (await lab.rerun(first, "second")).end()
    assert second.status == "success"
    assert (lab.calls("first"), lab.calls("second")) == (1, 2)
    assert await second.output() == {"last": [200, "success"]}
    assert second.nodes["first"].reason == "kept"
    assert len(second.all) == 3


async def test_join_any_runs_once_at_the_first_live_edge(lab: Lab) -> None:
    nodes = [lab.call("fast"), lab.hold("slow"), lab.call("joined", join="any"), lab.call("after")]
    edges = [*chain("fast", "joined", "after"), *chain("slow", "joined")]
    started = await lab.start({"nodes": nodes, "edges": edges})
    await lab.seen("after")
    lab.release("slow")
    ended = await started.end()
    assert set(ended.states().values()) == {"success"}
    assert lab.calls("joined") == 1


async def test_when_false_skips_the_node_and_prunes_what_follows(lab: Lab) -> None:
    nodes = [pure("a", 1), lab.call("b", when="{{ nodes.a.output > 1 }}"), lab.call("c")]
    ended = await lab.run(graph(*nodes))
    assert ended.states() == {"a": "success", "b": "skipped", "c": "pruned"}
    assert (lab.calls("b"), lab.calls("c")) == (0, 0)


async def test_condition_takes_one_port(lab: Lab) -> None:
    gate = {
        "id": "gate",
        "type": "condition",
        "params": {"conditions": [{"condition": "input.n > 5", "output_port": "big"}], "default_port": "small"},
    }
    edges = [
        {"source": "gate", "source_port": "big", "target": "b"},
        {"source": "gate", "source_port": "small", "target": "s"},
    ]
    ended = await lab.run({"nodes": [gate, lab.call("b"), lab.call("s")], "edges": edges}, {"n": 9})
    assert ended.states() == {"gate": "success", "b": "success", "s": "pruned"}


async def test_only_the_trigger_that_fired_is_live(lab: Lab) -> None:
    nodes = [{"id": "one", "type": "manual"}, {"id": "two", "type": "manual"}, pure("a", "{{ input.x }}"), pure("b", 2)]
    edges = [*chain("one", "a"), *chain("two", "b")]
    ended = await lab.run({"nodes": nodes, "edges": edges}, {"x": 4}, trigger="one")
    assert ended.states() == {"one": "success", "two": "pruned", "a": "success", "b": "pruned"}
    assert await ended.output() == {"a": 4}


async def test_outputs_that_fail_make_the_execution_fail(lab: Lab) -> None:
    ended = await lab.run(graph(pure("a", 1), outputs={"x": "{{ 1 // (nodes.a.output - 1) }}"}))
    assert ended.status == "failed"
    assert ended.states() == {"a": "success"}


async def test_parallelism_is_bounded(lab: Lab) -> None:
    nodes = [
        {
            "id": f"n{number}",
            "type": "http",
            "params": {"url": lab.effects.url(f"/slow/{lab.name('many')}-{number}?ms=60")},
        }
        for number in range(12)
    ]
    ended = await lab.run({"nodes": nodes, "edges": [], "settings": {"max_parallel_nodes": 3}})
    assert ended.status == "success"
    assert lab.effects.peak[lab.name("many")] == 3


async def test_variables_of_a_loop_leave_it_in_order(lab: Lab) -> None:
    body = graph(pure("step", "{{ item }}", assign={"seen": "{{ vars.seen + [item] }}"}))
    document = graph(
        foreach("loop", [3, 1, 2], body), pure("after", "{{ vars.seen }}"), variables={"seen": {"default": []}}
    )
    assert await (await lab.run(document)).output() == {"after": [3, 1, 2]}
