"""The reference against tables worked by hand, rule by rule of DESIGN section 2."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from engine.dag.spec import WorkflowSpec
from tests.reference.evaluate import Outcome, plain_path, render, respond
from tests.reference.generator import random_document, random_input
from tests.reference.interpreter import Due, Reference

URL = "http://127.0.0.1:9"
OK = {"url": f"{URL}/ok/1"}
DOWN = {"url": f"{URL}/fail/503/99"}
Json = dict[str, Any]


def node(node_id: str, kind: str = "transform", /, **rest: Any) -> Json:
    params: Json = {"http": OK, "transform": {"mapping": node_id}, "manual": {}}.get(kind, {})
    return {"id": node_id, "type": kind, "params": params, **rest}


def edges(*pairs: str) -> list[Json]:
    """`a>b` or `a:port>b`."""
    found: list[Json] = []
    for pair in pairs:
        source, target = pair.split(">")
        name, _, port = source.partition(":")
        found.append({"source": name, "target": target, **({"source_port": port} if port else {})})
    return found


def start(nodes: list[Json], pairs: Sequence[str] = (), data: Any = None, **rest: Any) -> Reference:
    document = {"name": "t", "nodes": nodes, "edges": edges(*pairs), **rest}
    return Reference(WorkflowSpec.model_validate(document), data if data is not None else {"n": 2})


def finish(reference: Reference, *order: str) -> Reference:
    """Complete these paths in this order (`path@1.0` for an iteration, `!path` for a cancellation), then all else."""
    for step in order:
        path, _, place = step.lstrip("!").partition("@")
        iteration = tuple(int(part) for part in place.split(".")) if place else ()
        key = reference.running_key(path, iteration)
        reference.complete(*key, outcome=Outcome("cancelled") if step.startswith("!") else None)
    while reference.status == "running":
        reference.complete(*reference.running()[0])
    return reference


def statuses(reference: Reference) -> dict[str, str]:
    """`path`, `path@iteration`, with `#generation` unless it is 0: status."""
    return {
        path + ("@" + ".".join(map(str, at)) if at else "") + (f"#{generation}" if generation else ""): state.status
        for (path, at, generation), state in reference.states().items()
    }


def test_joined_node_gets_the_data_of_each_live_edge_by_source() -> None:
    done = finish(
        start([node("a"), node("b"), node("c", when=False), node("d", "http", on_error="skip")], ["a>d", "b>d", "c>d"])
    )
    assert statuses(done) == {"a": "success", "b": "success", "c": "skipped", "d": "success"}
    assert done.upstream_of("d", (), 0) == {"a": "a", "b": "b"}


def test_node_with_only_dead_edges_is_pruned_and_so_is_what_follows() -> None:
    done = finish(start([node("a", when="{{ input.n > 2 }}"), node("b"), node("c")], ["a>b", "b>c"]))
    assert statuses(done) == {"a": "skipped", "b": "pruned", "c": "pruned"}
    assert (done.status, done.output) == ("success", {})


def test_join_any_runs_once_with_the_data_of_the_first_live_edge() -> None:
    done = finish(start([node("a"), node("b"), node("c", "http", join="any")], ["a>c", "b>c"]), "b", "c", "a")
    assert done.upstream_of("c", (), 0) == "b"
    assert statuses(done) == {"a": "success", "b": "success", "c": "success"}


def test_node_completed_before_it_is_ready_is_refused() -> None:
    reference = start([node("a"), node("b")], ["a>b"])
    with pytest.raises(AssertionError, match="b cannot end: it is pending"):
        reference.complete("b")


def test_condition_emits_its_upstream_output_on_the_port_that_holds() -> None:
    choice = {"conditions": [{"condition": "input.n == 2", "output_port": "two"}]}
    done = finish(
        start([node("a"), node("q", "condition", params=choice), node("x"), node("y")], ["a>q", "q:two>x", "q:else>y"])
    )
    assert statuses(done) == {"a": "success", "q": "success", "x": "success", "y": "pruned"}
    assert done.upstream_of("x", (), 0) == "a"
    assert done.states()["q", (), 0].output == {"port": "two"}


@pytest.mark.parametrize(
    ("policy", "pairs", "expected"),
    [
        ({"on_error": "continue"}, ["f>x"], {"f": "failed", "x": "success"}),
        ({"on_error": "continue"}, ["f>x", "f:error>y"], {"f": "failed", "x": "pruned", "y": "success"}),
        ({}, ["f>x", "f:error>y"], {"f": "failed", "x": "pruned", "y": "success"}),
        ({"on_error": "skip"}, ["f>x"], {"f": "skipped", "x": "success"}),
        ({"retry": {"interval": "1ms"}, "then": "skip"}, ["f>x"], {"f": "skipped", "x": "success"}),
        ({"retry": {"interval": "1ms"}}, ["f:error>y"], {"f": "failed", "y": "success"}),
        ({}, ["f>x"], {"f": "failed", "x": "cancelled"}),
        ({"on_error": "fail"}, ["f:error>y"], {"f": "failed", "y": "cancelled"}),
    ],
)
def test_failure_is_taken_by_its_policy(policy: Json, pairs: list[str], expected: dict[str, str]) -> None:
    targets = [node(pair[-1]) for pair in pairs]
    done = finish(start([node("f", "http", **{"params": DOWN, **policy}), *targets], pairs))
    assert statuses(done) == expected
    assert done.status == ("failed" if "cancelled" in expected.values() else "success")


def test_retry_counts_the_first_try_and_ends_at_an_error_that_is_not_retryable() -> None:
    policy: Json = {"on_error": "retry", "then": "continue", "retry": {"interval": "1ms", "max_attempts": 3}}
    paths = {"twice": "/fail/503/2", "thrice": "/fail/503/3", "never": "/fail/404/9"}
    done = finish(
        start([node(name, "http", **{"params": {"url": URL + path}, **policy}) for name, path in paths.items()])
    )
    ended = {path: (state.status, state.attempts) for (path, _, _), state in done.states().items()}
    assert ended == {"twice": ("success", 3), "thrice": ("failed", 3), "never": ("failed", 1)}


def test_failing_starts_nothing_cancels_what_runs_then_runs_the_handlers() -> None:
    nodes = [node("f", "http", params=DOWN), node("slow", "http"), node("late"), node("after")]
    handlers = {"nodes": [node("h", params={"mapping": "{{ error.code }} {{ nodes.late.output }}"})]}
    reference = start(nodes, ["slow>after"], handlers=handlers)
    done = finish(reference, "f", "!slow", "late", "h")
    assert statuses(done) == {
        "f": "failed",
        "slow": "cancelled",
        "late": "success",
        "after": "cancelled",
        "h": "success",
    }
    assert done.states()["h", (), 0].output == "EXTERNAL_ERROR late"
    assert (done.status, done.output) == ("failed", None)


def test_failed_handler_changes_nothing_else() -> None:
    handlers = {"nodes": [node("h", "http", params=DOWN), node("i"), node("j")], "edges": edges("h>i")}
    done = finish(start([node("f", "http", params=DOWN)], handlers=handlers))
    assert statuses(done) == {"f": "failed", "h": "failed", "i": "pruned", "j": "success"}
    assert done.error is not None
    assert done.error["code"] == "EXTERNAL_ERROR"


def test_execution_retry_from_failed_keeps_outcomes_and_starts_all_else_afresh() -> None:
    # /fail/503/1 fails the first request with its key only: the second comes in the second execution attempt
    nodes = [node("a", "http"), node("f", "http", params={"url": f"{URL}/fail/503/1"}), node("b")]
    retry = {"interval": "1ms", "from": "failed"}
    done = finish(start(nodes, ["a>f", "f>b"], settings={"retry": retry}))
    assert {path: (s.status, s.attempts) for (path, _, g), s in done.states().items()} == {
        "a": ("success", 1),
        "f": ("success", 1),
        "b": ("success", 1),
    }
    assert done.status == "success"


def test_execution_retry_from_start_begins_a_new_generation() -> None:
    retry = {"interval": "1ms", "from": "start"}
    done = finish(start([node("a"), node("f", "http", params=DOWN)], ["a>f"], settings={"retry": retry}))
    assert statuses(done) == {"a": "success", "f": "failed", "a#1": "success", "f#1": "failed"}
    assert done.status == "failed"


def test_assign_sees_the_variables_as_they_were_when_the_node_started() -> None:
    add = {"v": "{{ vars.v + 1 }}"}
    nodes = [node("a", assign=add), node("b", assign=add), node("c", assign=add)]
    done = finish(start(nodes, ["b>c"], variables={"v": {"default": 0}}), "a", "b", "c")
    # a and b both start at 0 and set 1; c starts behind b at 1 and sets 2
    assert done.variables == {"v": 2}


def loop(body: Json, /, **params: Any) -> Json:
    return node("l", "loop", params={"body": body, **params})


def test_foreach_gives_results_in_order_whatever_the_order_of_the_passes() -> None:
    body = {"nodes": [node("x", params={"mapping": "{{ item }}-{{ index }}"})], "outputs": "{{ nodes.x.output }}"}
    reference = start([loop(body, loop_type="foreach", items=["a", "b", "c"], concurrency=2)])
    assert [key[1] for key in reference.running()] == [(0,), (1,)]
    done = finish(reference, "l.body.x@1", "l.body.x@2", "l.body.x@0")
    assert done.output == {"l": {"items": ["a-0", "b-1", "c-2"], "iterations": 3, "broken": False}}


def test_break_keeps_the_passes_up_to_the_lowest_that_breaks() -> None:
    body = {"nodes": [node("x", "http")], "outputs": "{{ index }}"}
    reference = start([loop(body, loop_type="for", count=9, concurrency=3, break_condition="index == 1")])
    done = finish(reference, "l.body.x@1", "!l.body.x@2", "l.body.x@0")
    assert done.output == {"l": {"items": [0, 1], "iterations": 2, "broken": True}}
    assert statuses(done)["l.body.x@2"] == "cancelled"


def test_while_sees_the_previous_outputs_and_stops_at_its_bound() -> None:
    body = {"nodes": [node("x", params={"mapping": "{{ index * 2 }}"})], "outputs": "{{ nodes.x.output }}"}
    done = finish(start([loop(body, loop_type="while", condition="last != 4")]))
    assert done.output["l"]["items"] == [0, 2, 4]
    bounded = finish(start([loop(body, loop_type="while", condition="last != 4", max_iterations=2)]))
    assert bounded.states()["l", (), 0].error_code == "RESOURCE_EXHAUSTED"
    assert statuses(bounded) == {"l": "failed", "l.body.x@0": "success", "l.body.x@1": "success"}


def test_known_count_over_the_bound_fails_before_any_pass() -> None:
    body = {"nodes": [node("x")]}
    done = finish(start([loop(body, loop_type="for", count=3, max_iterations=2)]))
    assert statuses(done) == {"l": "failed"}


def test_item_that_fails_under_continue_keeps_its_place() -> None:
    body = {
        "nodes": [node("x", "http", params={"url": URL + "/{{ item }}"})],
        "outputs": "{{ nodes.x.output.body.value }}",
    }
    items = ["ok/5", "fail/404/9", "ok/7"]
    done = finish(start([loop(body, loop_type="foreach", items=items, on_item_error="continue")]))
    first, second, third = done.output["l"]["items"]
    assert (first, second["error"]["code"], third) == (5, "EXTERNAL_ERROR", 7)


def test_failing_body_fails_its_container_and_the_policy_of_the_container_applies() -> None:
    body = {"nodes": [node("x", "http"), node("y", "http", params=DOWN), node("z")], "edges": edges("y>z")}
    failing = {**loop(body, loop_type="foreach", items=[1, 2]), "on_error": "continue"}
    done = finish(start([failing, node("after")], ["l>after"]), "l.body.y@0", "!l.body.x@0")
    assert statuses(done) == {
        "l": "failed",
        "after": "success",
        "l.body.x@0": "cancelled",
        "l.body.y@0": "failed",
        "l.body.z@0": "cancelled",
    }


def test_retried_container_runs_whole_in_a_new_generation() -> None:
    # x fails once for each idempotency key, and a new generation is a new key: both runs fail
    body = {"nodes": [node("x", "http", params={"url": f"{URL}/fail/503/1"})]}
    retried = {**loop(body, loop_type="for", count=1), "retry": {"interval": "1ms", "max_attempts": 2}}
    done = finish(start([retried]))
    assert statuses(done) == {"l#1": "failed", "l.body.x@0": "failed", "l.body.x@0#1": "failed"}
    assert done.states()["l", (), 1].attempts == 2


def test_variables_of_a_body_are_seen_by_later_passes_and_leave_it_on_success() -> None:
    body = {"nodes": [node("x", params={"mapping": "{{ vars.v }}"}, assign={"v": "{{ vars.v * 2 }}"})]}
    inner = loop({**body, "outputs": "{{ nodes.x.output }}"}, loop_type="for", count=3)
    done = finish(start([inner], variables={"v": {"default": 1}}))
    assert done.output["l"]["items"] == [1, 2, 4]
    assert done.variables == {"v": 8}


def branches(*ways: Json, **params: Any) -> Json:
    named = [{"id": name, **way} for name, way in zip("pqr", ways, strict=False)]
    return node("w", "parallel", params={"branches": named, **params})


def test_parallel_any_takes_the_first_branch_and_cancels_the_rest() -> None:
    ways = [{"nodes": [node("x", "http", assign={"v": 1})]}, {"nodes": [node("y", "http", assign={"v": 2})]}]
    reference = start([branches(*ways, wait="any")], variables={"v": {"default": 0}})
    done = finish(reference, "w.q.y", "!w.p.x")
    assert set(done.output["w"]) == {"q"}
    assert statuses(done) == {"w": "success", "w.p.x": "cancelled", "w.q.y": "success"}
    assert done.variables == {"v": 2}


def test_parallel_fails_once_its_number_is_out_of_reach() -> None:
    ways = [{"nodes": [node(name, "http", params=params)]} for name, params in [("x", DOWN), ("y", DOWN), ("z", OK)]]
    done = finish(start([branches(*ways, wait=2)]), "w.p.x", "w.q.y", "!w.r.z")
    assert statuses(done) == {"w": "failed", "w.p.x": "failed", "w.q.y": "failed", "w.r.z": "cancelled"}


def test_branches_are_merged_in_their_order_not_in_that_of_their_ends() -> None:
    ways = [{"nodes": [node("x", assign={"v": 1})]}, {"nodes": [node("y", assign={"v": 2})]}]
    done = finish(start([branches(*ways)], variables={"v": {"default": 0}}), "w.q.y", "w.p.x")
    assert done.variables == {"v": 2}


def test_cancelled_execution_runs_no_handlers_and_an_expired_one_does() -> None:
    for end, status, handler in [("cancel", "cancelled", None), ("expire", "timed_out", "success")]:
        reference = start([node("a", "http"), node("b")], ["a>b"], handlers={"nodes": [node("h")]})
        getattr(reference, end)()
        finish(reference, "!a")
        assert (reference.status, statuses(reference).get("h")) == (status, handler)
        assert statuses(reference)["b"] == "cancelled"


def test_outputs_that_fail_make_the_execution_fail() -> None:
    done = finish(start([node("a")], outputs={"x": "{{ nodes.a.output.none }}"}))
    assert (done.status, done.error and done.error["code"]) == ("failed", "EXPRESSION_ERROR")


def test_io_nodes_wait_for_a_slot() -> None:
    reference = start([node("a", "http"), node("b", "http"), node("c")], settings={"max_parallel_nodes": 1})
    assert [key[0] for key in reference.running()] == ["a", "c"]
    reference.complete("a")
    assert [key[0] for key in reference.running()] == ["b", "c"]


def test_manual_mode_does_work_without_a_row_when_told() -> None:
    looped = loop({"nodes": [node("x")], "outputs": 1}, loop_type="for", count=1)
    document = {"name": "t", "nodes": [{**looped, "assign": {"v": 1}}], "outputs": 2}
    spec = WorkflowSpec.model_validate(document)
    reference = Reference(spec, None, manual=True)
    seen: list[Due] = []
    while reference.status == "running":
        seen += reference.due()
        if reference.due():
            reference.perform(reference.due()[0])
        else:
            reference.complete(*reference.running()[0])
    key = ("l", (), 0)
    assert seen == [Due("open", key), Due("close", key, 0), Due("assign", key), Due("close")]


def test_plain_path_through_a_null_output_is_null_and_a_missing_key_is_an_error() -> None:
    scope = {"nodes": {"x": {"output": None}, "y": {"output": {"k": 1}}}}
    assert plain_path("nodes.x.output.k.j", scope) is None
    assert render({"a": "{{ nodes.y.output.k }}", "b": "k={{ nodes.y.output.k }}"}, scope) == {"a": 1, "b": "k=1"}
    with pytest.raises(Exception, match="EXPRESSION_ERROR"):
        plain_path("nodes.y.output.z", scope)


def test_effect_server_fails_the_first_attempts_only() -> None:
    assert [respond("/x/fail/503/2", attempt)[0] for attempt in (1, 2, 3)] == [503, 503, 200]
    assert respond("/ok/4", 1) == (200, {"value": 4})


def test_generator_gives_the_same_document_for_the_same_seed() -> None:
    pair = [random_document(random.Random(5), effect_url=URL, size=20) for _ in range(2)]
    assert pair[0] == pair[1]


@pytest.mark.parametrize("racy", [True, False])
def test_random_documents_end_and_reach_every_rule(racy: bool) -> None:
    """None gets stuck, every opened node has an outcome, and all statuses and codes of interest come up."""
    seen: set[str | None] = set()
    for seed in range(150):
        rng = random.Random(seed)
        document = random_document(rng, effect_url=URL, size=18, racy=racy)
        spec = WorkflowSpec.model_validate(document)
        triggers = [item.id for item in spec.nodes if item.type == "manual"]
        reference = Reference(spec, random_input(rng), triggers[0] if triggers else None)
        while reference.status == "running":
            reference.complete(*rng.choice(reference.running()))
        states = reference.states().values()
        assert all(state.status not in ("pending", "running", "retrying") for state in states)
        seen |= {state.status for state in states} | {state.error_code for state in states} | {reference.status}
    assert seen >= {"success", "failed", "skipped", "pruned", "cancelled", "EXTERNAL_ERROR", "EXPRESSION_ERROR"}
