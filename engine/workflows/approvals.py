"""Approvals that one driver waits for: their clocks, the words of people, and their rows.

A row is a view for people: what counts is held here. It is written when an approval opens, with each word, and when it
ends; every writing carries the whole, so that they may come in any order. Continue-as-new and the end of the Temporal
workflow wait for them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from temporalio import workflow
from temporalio.exceptions import ActivityError

from engine.contracts import RECORD_APPROVAL, ApprovalRequest, Command
from engine.dag.control.approval import APPROVED, REJECTED, TIMED_OUT
from engine.dag.frame import NodeState
from engine.dag.outcome import Outcome
from engine.dag.work import Work, WorkKey
from engine.workflows import options

if TYPE_CHECKING:
    from engine.workflows.driver import Driver


@dataclass(slots=True, eq=False)
class _Waiting:
    """One approval; `asked` outlives the state of its node, which goes with its pass."""

    work: Work
    asked: dict[str, Any]
    opened_at: float
    attempts: int
    clock: asyncio.Task[None] | None = None


class Approvals:
    """The approvals of one driver, by the key of their work."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._waiting: dict[WorkKey, _Waiting] = {}
        self._writings: dict[asyncio.Task[None], None] = {}

    @property
    def busy(self) -> bool:
        """Whether a row is being written."""
        return bool(self._writings)

    def start(self, work: Work) -> None:
        """Begin to wait; one of an earlier run of the Temporal workflow has its row already."""
        if work.key in self._waiting:
            return  # a word for it came before its turn
        known = work.purpose == "reattach"
        work.started = True
        state: NodeState = self._driver.run.frame_of(work).nodes[work.subject]
        one = self._waiting[work.key] = _Waiting(work, state.opened or {}, state.started_at, state.attempts)
        if work.deadline:
            one.clock = asyncio.create_task(self._run_out(one))
            one.clock.add_done_callback(self._driver.check)
        if not known:
            self._write(one, "open")

    def decide(self, command: Command) -> bool:
        """Take a person's word. False if nothing waits for it, or the same person has said otherwise."""
        driver = self._driver
        node = driver.run.plan.by_path.get(command.path)
        key: WorkKey = ("approval", -1 if node is None else node.index, tuple(command.iteration))
        work = driver.run.works.get(key)
        if work is None or command.decision not in (APPROVED, REJECTED):
            return False
        self.start(work)
        one = self._waiting[key]
        if command.approval not in ("", one.asked.get("id")):
            return False
        return self._take(one, command)

    def _take(self, one: _Waiting, command: Command) -> bool:
        driver, known = self._driver, len(one.asked.get("decisions", ()))
        driver.run.now = driver.now
        word = {"by": command.by, "decision": command.decision, "form": command.form, "comment": command.comment}
        taken = driver.run.decide(command.path, tuple(command.iteration), {**word, "at": driver.now})
        if "decision" not in one.asked and len(one.asked.get("decisions", ())) > known:
            self._write(one, "open")  # what ends it is written when the core's cancel comes
        driver.on_progress()
        return taken

    def end(self, key: WorkKey) -> None:
        """Stop waiting: it has been decided, skipped or cancelled."""
        one = self._waiting.pop(key, None)
        if one is None:
            return
        if one.clock is not None:
            one.clock.cancel()
        self._write(one, one.asked.get("decision", "cancelled"))

    async def _run_out(self, one: _Waiting) -> None:
        delay = one.work.deadline - self._driver.now
        if delay > 0:
            await asyncio.sleep(delay)
        if self._waiting.pop(one.work.key, None) is one:
            self._driver.complete(one.work.key, Outcome("success"))
            self._write(one, TIMED_OUT)

    # ---- rows

    def _write(self, one: _Waiting, status: str) -> None:
        task = asyncio.create_task(self._record(self._request(one, status)))
        self._writings[task] = None
        task.add_done_callback(self._written)

    def _written(self, task: asyncio.Task[None]) -> None:
        del self._writings[task]
        self._driver.check(task)
        self._driver.wake()

    def _request(self, one: _Waiting, status: str) -> ApprovalRequest:
        node = self._driver.run.plan.nodes[one.work.subject]
        return ApprovalRequest(
            meta=dict(self._driver.meta),
            path=node.path,
            type=node.type,
            iteration=list(one.work.iteration),
            generation=one.work.generation,
            asked={name: value for name, value in one.asked.items() if name not in ("decisions", "decision")},
            status=status,
            decisions=list(one.asked.get("decisions", ())),
            opened_at=one.opened_at,
            closed_at=0.0 if status == "open" else self._driver.now,
            attempts=one.attempts,
        )

    async def _record(self, request: ApprovalRequest) -> None:
        try:
            await workflow.execute_local_activity(RECORD_APPROVAL, request, **options.local_once(5))
        except ActivityError:
            await workflow.execute_activity(RECORD_APPROVAL, request, **options.until_done(60))
