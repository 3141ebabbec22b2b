"""Execution: a run of the whole document: attempts, handlers, outputs, pause, cancel and timeout."""

from __future__ import annotations

from typing import Any

from engine.dag.frame import Frame, NodeState, leaf_outputs
from engine.dag.outcome import Outcome, error_dict
from engine.dag.plan import HANDLERS, MAIN, Plan
from engine.dag.retry import next_delay_s
from engine.dag.state import Run
from engine.dag.values import NULL, Value, inline
from engine.dag.work import Work
from engine.errors import CANCELLED, TIMEOUT

HANDLERS_TIMEOUT_S = 60.0
EXECUTION = -1  # the subject of timers that belong to the execution itself
Seed = list[tuple[int, NodeState]]


class Execution(Run):
    """Drives the main graph, its retries, then the handlers if it failed.

    `phase`: main | outputs | waiting (for the next attempt) | handlers | done. When done, `status` is success,
    failed, cancelled or timed_out, with `output` or `failure`.
    """

    def __init__(self, plan: Plan, *, shard_passes: int = 0, expand_local: bool = False) -> None:
        super().__init__(plan, shard_passes=shard_passes, expand_local=expand_local)
        self.phase = "main"
        self.status = "running"
        self.attempt = 1
        self.main_generation = 0
        self.trigger: int | None = None
        self.trigger_output: Value = NULL
        self.output: Value = NULL
        self.failure: dict[str, Any] | None = None
        self.cancelled = False
        self.timed_out = False
        self.handled_failures = 0
        self.root_ended = self._on_root_ended

    # ---- what the driver calls

    def begin(
        self, input_value: Value, trigger: int | None, now: float, *, trigger_output: Value | None = None, seed: Seed
    ) -> None:
        """Start the first attempt. `seed`: outcomes kept from another execution, in completion order."""
        self.now = now
        self.input, self.trigger = input_value, trigger
        self.trigger_output = input_value if trigger_output is None else trigger_output
        self.generation = max([self.generation, *[state.generation for _, state in seed]])
        self._begin_main(seed, record=True)

    @property
    def done(self) -> bool:
        return self.phase == "done"

    def cancel_all(self, now: float) -> None:
        """Stop at once, in a delay too; handlers do not run."""
        self.now = now
        self.cancelled = True
        self._interrupt()

    def time_out(self, now: float) -> None:
        """The execution's own clock has run out; handlers still run."""
        if self.phase == "handlers" or self.done:
            return
        self.now = now
        self.timed_out = True
        seconds = self.plan.timeout_s or 0
        self.failure = error_dict(TIMEOUT, f"the execution did not end within {seconds:g} s")
        self._interrupt()

    def _interrupt(self) -> None:
        if self.done:
            return
        if self.phase == "waiting":
            self._cancel_work(("timer:execution", EXECUTION, ()))
            self._main_failed()
            return
        root = self.frames[(HANDLERS if self.phase == "handlers" else MAIN, ())]
        if self.phase == "outputs":
            self._cancel_work(("outputs", MAIN, ()))
            self.works.pop(("outputs", MAIN, ()), None)
            self._main_failed()
        else:
            self.cancel(root)

    # ---- the course of an execution

    def _begin_main(self, seed: Seed, *, record: bool) -> None:
        self.phase = "main"
        self.frames.pop((MAIN, ()), None)
        frame = self.open_frame(MAIN, (), self.main_generation, None, upstream=self.trigger_output)
        frame.variables = {name: inline(value) for name, value in self.plan.variables.items()}
        self.seed_frame(frame, seed, record=record)
        self.begin_frame(frame, trigger=self.trigger)

    def _on_root_ended(self, frame: Frame) -> None:
        if frame.graph.index == HANDLERS:
            self._finish("cancelled" if self.cancelled else "timed_out" if self.timed_out else "failed")
        elif frame.stopping:
            if self.failure is None and frame.failure is not None:
                self.failure = {**frame.failure, "node": frame.failure_node}
            self._main_failed()
        elif frame.graph.closes:
            self.phase = "outputs"
            self._issue("outputs", MAIN, (), 0)
        else:
            self.output = leaf_outputs(frame, self.plan.leaves(frame.graph))
            self._finish("success")

    def _outputs_done(self, work: Work, outcome: Outcome) -> None:
        if outcome.status == "success":
            self.output = outcome.output
            self._finish("success")
        else:
            self.failure = outcome.error
            self._main_failed()

    def _main_failed(self) -> None:
        """The attempt is over: cancelled, tried again, or on to the handlers."""
        policy = self.plan.retry
        if self.cancelled:
            self.failure = error_dict(CANCELLED, "the execution was cancelled")
            self._finish("cancelled")
        elif policy is not None and not self.timed_out and self.attempt < policy.max_attempts:
            self.phase = "waiting"
            delay = next_delay_s(policy, self.attempt)
            self._issue_timer(EXECUTION, (), "execution", self.now + delay)
        else:
            self._begin_handlers()

    def _timer_fired(self, work: Work, outcome: Outcome) -> None:
        if work.subject != EXECUTION:
            super()._timer_fired(work, outcome)
        elif work.purpose == "execution":
            self._next_attempt()
        else:
            self.cancel(self.frames[(HANDLERS, ())])

    def _next_attempt(self) -> None:
        self.attempt += 1
        self.failure = None
        old = self.frames[(MAIN, ())]
        if self.plan.retry_from == "start":
            self.main_generation = self._next_generation()
            self._begin_main([], record=False)
            return
        self.regenerate = True
        self._begin_main([(index, old.nodes[index]) for index in old.order if _is_kept(old.nodes[index])], record=False)

    def _begin_handlers(self) -> None:
        if not self.plan.handlers.nodes:
            self._finish("timed_out" if self.timed_out else "failed")
            return
        self.phase = "handlers"
        self.error = inline(self.failure)
        frame = self.open_frame(HANDLERS, (), 0, None, upstream=self.input)
        frame.variables = dict(self.frames[(MAIN, ())].variables)
        self._issue_timer(EXECUTION, (), "handlers", self.now + HANDLERS_TIMEOUT_S)
        self.begin_frame(frame)

    def _finish(self, status: str) -> None:
        if self.done:
            return
        self._cancel_work(("timer:handlers", EXECUTION, ()))
        self.phase, self.status = "done", status
        main = self.frames[(MAIN, ())]
        self.handled_failures = sum(1 for state in main.nodes.values() if state.status == "failed" and state.port)


def _is_kept(state: NodeState) -> bool:
    """Successes, handled failures, skips and prunings keep their outcome over an execution retry."""
    return state.status in ("success", "skipped", "pruned") or (state.status == "failed" and state.port is not None)
