"""The core by hand: what starts, what is cancelled and how it all ends, for what random graphs hold little of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.dag.compile import compile_plan
from engine.dag.execution import Execution
from engine.dag.outcome import Outcome, error_dict, failed
from engine.dag.snapshot import restore_execution, take_execution
from engine.dag.spec import WorkflowSpec
from engine.dag.values import inline, listing, read
from engine.dag.work import Iteration, Work
from engine.errors import BUDGET_EXCEEDED, EXTERNAL_ERROR
from engine.expressions.references import AstReferenceParser
from engine.nodes.registry import built_in_catalogue

Json = dict[str, Any]
CALL = {"url": "http://127.0.0.1:9/ok/1"}
DOWN = failed(error_dict(EXTERNAL_ERROR, "down"))
CANCELLED = Outcome("cancelled")


def call(node_id: str, **rest: Any) -> Json:
    return {"id": node_id, "type": "http", "params": CALL, **rest}


def wait(node_id: str) -> Json:
    return {"id": node_id, "type": "delay", "params": {"delay": "1h"}}


def loop(body: list[Json], *links: str, **params: Any) -> Json:
    graph = {"nodes": body, "edges": edges(*links)}
    return {"id": "l", "type": "loop", "params": {"loop_type": "foreach", "items": [1], "body": graph, **params}}


def branches(*ways: list[Json], **params: Any) -> Json:
    named = [{"id": name, "nodes": nodes} for name, nodes in zip("pqr", ways, strict=False)]
    return {"id": "w", "type": "parallel", "params": {"branches": named, **params}}


def edges(*pairs: str) -> list[Json]:
    return [dict(zip(("source", "target"), pair.split(">"), strict=True)) for pair in pairs]


class Hand:
    """An execution driven by hand. Steps name work as `kind path[@iteration]`."""

    def __init__(self, nodes: list[Json], *links: str, shard_passes: int = 0) -> None:
        spec = WorkflowSpec.model_validate({"name": "t", "nodes": nodes, "edges": edges(*links)})
        self.plan = compile_plan(spec, built_in_catalogue(), AstReferenceParser())
        self.core = Execution(self.plan, shard_passes=shard_passes)
        self.core.begin(inline({}), None, 0.0, seed=[])
        self.settled: dict[str, str] = {}
        self.errors: dict[str, str] = {}

    def ready(self) -> list[str]:
        """Starts what may start, and names it."""
        works = self.core.take_ready()
        for work in works:
            self.core.mark_started(work, 0.0)
        return [self._name(work) for work in works]

    def cancels(self) -> list[str]:
        return [self._named(key[0], key[1], key[2]) for key in self.core.take_cancels()]

    def end(self, name: str, outcome: Outcome | None = None) -> None:
        work = next(work for work in self.core.works.values() if self._name(work) == name)
        assert self.core.complete(work.key, outcome or Outcome("success"), 0.0)

    def statuses(self) -> dict[str, str]:
        for one in self.core.take_settled():
            place = self._place(one.node.path, one.iteration)
            self.settled[place] = one.state.status
            if one.state.error is not None:
                self.errors[place] = one.state.error["code"]
        return self.settled

    def _name(self, work: Work) -> str:
        if work.kind == "shard":
            return f"shard {work.low}-{work.high}"
        return self._named(f"timer:{work.purpose}" if work.kind == "timer" else work.kind, work.subject, work.iteration)

    def _named(self, kind: str, subject: int, iteration: Iteration) -> str:
        if kind == "shard":
            return f"shard {iteration[-1]}"
        path = self.plan.graphs[subject].id if kind in ("pass", "outputs") else self.plan.nodes[subject].path
        return f"{kind} {self._place(path, iteration)}"

    def _place(self, path: str, iteration: Iteration) -> str:
        return path + ("@" + ".".join(map(str, iteration)) if iteration else "")


def opened_loop(count: int, **more: Any) -> Outcome:
    items = listing([inline(number) for number in range(count)])
    opened = {"count": count, "items": items, "concurrency": 1, "max_iterations": 1000, "on_item_error": "fail"}
    return Outcome("success", opened={**opened, "breaks": False, **more})


def opened_branches(**more: Any) -> Outcome:
    return Outcome("success", opened={"wait": "all", "timeout_s": None, **more})


# ---- failures stop what can only be in vain


def test_failing_pass_stops_the_others_while_its_own_nodes_still_end() -> None:
    run = Hand([loop([call("x"), call("y")], concurrency=2, items=[1, 2, 3])])
    assert run.ready() == ["open l"]
    run.end("open l", opened_loop(3, concurrency=2))
    assert run.ready() == ["node l.body.x@0", "node l.body.y@0", "node l.body.x@1", "node l.body.y@1"]
    run.end("node l.body.x@0", DOWN)
    assert run.cancels() == ["node l.body.y@0", "node l.body.x@1", "node l.body.y@1"]
    assert run.ready() == []
    for name in ("node l.body.x@1", "node l.body.y@1", "node l.body.y@0"):
        assert not run.core.done
        run.end(name, CANCELLED)
    assert run.core.status == "failed"
    assert run.statuses() == {
        "l.body.x@0": "failed", "l.body.y@0": "cancelled", "l.body.x@1": "cancelled", "l.body.y@1": "cancelled",
        "l": "failed",
    }  # fmt: skip


def test_item_that_may_fail_stops_no_other() -> None:
    run = Hand([loop([call("x"), call("y")], concurrency=2, items=[1, 2], on_item_error="continue")])
    run.ready()
    run.end("open l", opened_loop(2, concurrency=2, on_item_error="continue"))
    run.ready()
    run.end("node l.body.x@0", DOWN)
    assert run.cancels() == ["node l.body.y@0"]


@pytest.mark.parametrize(
    ("needed", "failing", "stopped"),
    [
        ("all", ["w.p.x"], ["node w.p.y", "node w.q.z", "node w.r.u"]),
        (2, ["w.p.x"], ["node w.p.y"]),
        (2, ["w.p.x", "w.q.z"], ["node w.p.y", "node w.r.u"]),
        ("any", ["w.p.x", "w.q.z"], ["node w.p.y"]),
    ],
)
def test_branches_stop_at_once_when_their_number_is_out_of_reach(
    needed: Any, failing: list[str], stopped: list[str]
) -> None:
    run = Hand([branches([call("x"), call("y")], [call("z")], [call("u")], wait=needed)])
    run.ready()
    run.end("open w", opened_branches(wait=needed))
    run.ready()
    for path in failing:
        run.end(f"node {path}", DOWN)
    assert run.cancels() == stopped


# ---- break_condition after an item that failed


def breaking() -> Hand:
    run = Hand([loop([call("x")], items=[1, 2], on_item_error="continue", break_condition="last.error != None")])
    run.ready()
    run.end("open l", opened_loop(2, on_item_error="continue", breaks=True))
    run.ready()
    run.end("node l.body.x@0", DOWN)
    assert run.ready() == ["pass body@0"]
    return run


def test_failed_item_may_break_the_loop_and_keeps_its_place() -> None:
    run = breaking()
    frame = run.core.frame_of(next(iter(run.core.works.values())))
    run.end("pass body@0", Outcome("success", output=frame.failed_result, opened={"broke": True}))
    output = read(run.core.output)["l"]
    assert (output["items"][0]["error"]["code"], output["iterations"], output["broken"]) == ("EXTERNAL_ERROR", 1, True)


def test_failed_item_that_does_not_break_is_followed_by_the_next() -> None:
    run = breaking()
    run.end("pass body@0", Outcome("success", output=inline("e"), opened={"broke": False}))
    assert run.ready() == ["node l.body.x@1"]


def test_break_condition_that_fails_fails_the_loop_and_no_item() -> None:
    run = breaking()
    broken = failed(error_dict("EXPRESSION_ERROR", "no such key"))
    broken.opened = {"between": True}
    run.end("pass body@0", broken)
    assert run.core.status == "failed"
    assert run.core.failure is not None
    assert run.core.failure["code"] == "EXPRESSION_ERROR"
    assert run.statuses() == {"l.body.x@0": "failed", "l": "failed"}


# ---- timers


def test_timeout_of_a_parallel_cancels_its_branches_and_fails_it() -> None:
    run = Hand([branches([call("x")], [call("y")]), call("after")], "w>after")
    run.ready()
    run.end("open w", opened_branches(timeout_s=5))
    assert run.ready() == ["timer:timeout w", "node w.p.x", "node w.q.y"]
    run.end("node w.q.y")
    run.end("timer:timeout w")
    assert run.cancels() == ["node w.p.x"]
    run.end("node w.p.x", CANCELLED)
    assert run.core.status == "failed"
    assert run.statuses() == {"w.q.y": "success", "w.p.x": "cancelled", "w": "failed", "after": "cancelled"}
    assert run.errors["w"] == "TIMEOUT"


def test_timeout_does_nothing_to_a_parallel_that_only_stops_the_rest() -> None:
    run = Hand([branches([call("x")], [call("y")], wait="any")])
    run.ready()
    run.end("open w", opened_branches(wait="any", timeout_s=5))
    run.ready()
    run.end("node w.q.y")
    run.end("timer:timeout w")
    run.end("node w.p.x", CANCELLED)
    assert run.core.status == "success"


def test_parallel_with_a_timeout_is_opened_where_there_are_timers() -> None:
    body = {"id": "t", "type": "transform", "params": {"mapping": 1}}
    timed = Hand([branches([body], timeout="5s")])
    untimed = Hand([branches([body])])
    assert (timed.ready(), untimed.ready()) == (["open w"], ["node w"])


def test_parallel_that_ends_takes_its_timeout_back() -> None:
    run = Hand([branches([call("x")], [call("y")])])
    run.ready()
    run.end("open w", opened_branches(timeout_s=5))
    run.ready()
    run.end("node w.p.x")
    run.end("node w.q.y")
    assert run.cancels() == ["timer:timeout w"]
    assert run.core.status == "success"


def test_delay_is_cancelled_during_its_timer() -> None:
    run = Hand([wait("d"), call("after")], "d>after")
    run.ready()
    run.end("open d", Outcome("success", opened={"until": 3600.0}))
    assert run.ready() == ["timer:delay d"]
    run.core.cancel_all(1.0)
    assert run.cancels() == ["timer:delay d"]
    assert run.core.status == "cancelled"
    assert run.statuses() == {"d": "cancelled", "after": "cancelled"}


def test_retry_now_ends_the_wait_of_a_container() -> None:
    run = Hand([{**loop([call("x")]), "retry": {"interval": "1h", "max_attempts": 2}}])
    run.ready()
    run.end("open l", opened_loop(1))
    run.ready()
    assert not run.core.retry_now("l", ())
    run.end("node l.body.x@0", DOWN)
    assert run.ready() == ["timer:retry l"]
    assert run.core.retry_now("l", ())
    assert run.cancels() == ["timer:retry l"]
    assert run.ready() == ["open l"]
    run.end("open l", opened_loop(1))
    assert run.ready() == ["node l.body.x@0"]
    run.end("node l.body.x@0", DOWN)
    assert run.core.status == "failed"
    assert run.core.frames[(0, ())].nodes[0].attempts == 2
    assert not run.core.retry_now("l", ())


# ---- skip


def test_operator_skips_nodes_in_every_state() -> None:
    run = Hand([call("a"), call("b"), wait("d"), loop([call("x")])], "a>b")
    run.ready()
    run.end("open d", Outcome("success", opened={"until": 3600.0}))
    run.end("open l", opened_loop(1))
    assert run.ready() == ["timer:delay d", "node l.body.x@0"]
    for path in ("b", "d", "l"):
        assert run.core.skip(path, (), inline(path.upper()))
    assert run.cancels() == ["timer:delay d", "node l.body.x@0"]
    run.end("node l.body.x@0", CANCELLED)
    assert run.core.skip("a", (), inline("A"))
    assert run.cancels() == ["node a"]
    assert not run.core.skip("a", (), inline("again"))
    assert not run.core.skip("nobody", (), inline(1))
    assert run.ready() == []
    assert run.statuses() == {
        "d": "skipped", "l.body.x@0": "cancelled", "l": "skipped", "a": "skipped", "b": "skipped"
    }  # fmt: skip
    assert read(run.core.output) == {"b": "B", "d": "D", "l": "L"}


# ---- shards


def shards(**more: Any) -> Hand:
    run = Hand([loop([call("x")], items=[*range(10)])], shard_passes=3)
    run.ready()
    run.end("open l", opened_loop(10, concurrency=3, **more))
    assert run.ready() == ["shard 0-3", "shard 3-6", "shard 6-9"]
    return run


def shard(*items: int, broken: int | None = None) -> Outcome:
    ended = Outcome("success", output=listing([inline(item) for item in items]))
    ended.assigned, ended.opened = {}, {"iterations": len(items), "broken": broken}
    return ended


def test_shards_of_a_loop_give_its_results_in_order() -> None:
    run = shards()
    run.end("shard 6-9", shard(6, 7, 8))
    assert run.ready() == ["shard 9-10"]
    for name, items in {"shard 9-10": [9], "shard 0-3": [0, 1, 2], "shard 3-6": [3, 4, 5]}.items():
        run.end(name, shard(*items))
    assert read(run.core.output) == {"l": {"items": [*range(10)], "iterations": 10, "broken": False}}


def test_break_in_a_shard_cuts_off_the_later_ones() -> None:
    run = shards(breaks=True)
    run.end("shard 3-6", shard(3, 4, broken=4))
    assert run.cancels() == ["shard 6"]
    run.end("shard 6-9", CANCELLED)
    assert not run.core.done
    run.end("shard 0-3", shard(0, 1, 2))
    assert run.ready() == []
    assert read(run.core.output) == {"l": {"items": [0, 1, 2, 3, 4], "iterations": 5, "broken": True}}


def test_failing_shard_stops_the_others_and_fails_the_loop() -> None:
    run = shards()
    run.end("shard 3-6", DOWN)
    assert run.cancels() == ["shard 0", "shard 6"]
    run.end("shard 0-3", CANCELLED)
    run.end("shard 6-9", CANCELLED)
    assert run.core.status == "failed"
    assert run.core.failure is not None
    assert run.core.failure["code"] == EXTERNAL_ERROR


# ---- people


ASKED = Outcome("success", opened={"id": "", "quorum": 1, "rejections": 1, "until": 0.0})


def word(by: str, decision: str = "approved") -> Json:
    return {"by": by, "decision": decision, "form": None, "comment": "", "at": 0.0}


def ask(node_id: str, **rest: Any) -> Json:
    return {"id": node_id, "type": "approval", "params": {}, **rest}


def test_approval_holds_its_pass_until_its_word_comes() -> None:
    run = Hand([loop([ask("x")], concurrency=2)])
    run.ready()
    run.end("open l", opened_loop(2, concurrency=2))
    assert run.ready() == ["open l.body.x@0", "open l.body.x@1"]
    run.end("open l.body.x@0", ASKED)
    run.end("open l.body.x@1", Outcome("success", opened={**(ASKED.opened or {})}))
    assert run.ready() == ["approval l.body.x@0", "approval l.body.x@1"]
    assert not run.core.decide("l.body.x", (2,), word("a"))
    assert run.core.decide("l.body.x", (1,), word("a"))
    assert run.cancels() == ["approval l.body.x@1"]
    assert not run.core.decide("l.body.x", (1,), word("b"))
    run.end("approval l.body.x@0")  # its time has run out
    assert run.core.status == "success"
    assert run.statuses() == {"l": "success", "l.body.x@0": "success", "l.body.x@1": "success"}


def asks_over_budget() -> Outcome:
    outcome = failed(error_dict(BUDGET_EXCEEDED, "no room"))
    outcome.opened = {"id": "", "quorum": 1, "rejections": 1, "until": 0.0}
    return outcome


def test_node_that_people_let_pass_runs_again() -> None:
    run = Hand([call("x")])
    run.ready()
    run.end("node x", asks_over_budget())
    assert (run.ready(), run.core.done) == (["approval x"], False)
    assert run.core.decide("x", (), word("a"))
    (work,) = run.core.take_ready()
    assert (work.kind, work.attempt) == ("node", 2)
    run.end("node x")
    assert run.statuses() == {"x": "success"}
    assert run.errors == {}


@pytest.mark.parametrize(("policy", "status"), [("fail", "failed"), ("continue", "success")])
def test_node_that_people_do_not_let_pass_fails_by_its_policy(policy: str, status: str) -> None:
    run = Hand([call("x", on_error=policy)])
    run.ready()
    run.end("node x", asks_over_budget())
    run.ready()
    assert run.core.decide("x", (), word("a", "rejected"))
    assert run.core.status == status
    assert run.statuses() == {"x": "failed"}
    assert run.errors == {"x": BUDGET_EXCEEDED}


def test_node_that_waits_over_a_budget_is_asked_about_again_after_a_snapshot() -> None:
    run = Hand([call("x")])
    run.ready()
    run.end("node x", asks_over_budget())
    run.ready()
    run.core = restore_execution(run.plan, json.loads(json.dumps(take_execution(run.core))), 0.0, shard_passes=0)
    (work,) = run.core.take_ready()
    assert (work.kind, work.purpose) == ("approval", "reattach")
    assert run.core.decide("x", (), word("a", "rejected"))
    assert (run.core.status, (run.core.failure or {})["code"]) == ("failed", BUDGET_EXCEEDED)
