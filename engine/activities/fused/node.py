"""One I/O node inside a segment: an attempt as in an activity of its own, whose outcome is committed before it is told.

The segment's tries are the node's: Temporal's count, heartbeats and last words are those of the one activity.
"""

from __future__ import annotations

from typing import Any, cast

from temporalio import activity
from temporalio.exceptions import ApplicationError

from engine.activities.failures import next_attempt
from engine.activities.node import NodeRun
from engine.activities.observation import node_attempt
from engine.activities.runtime import ExecutionRuntime
from engine.contracts import NodeRequest
from engine.dag.outcome import TERMINAL, Outcome, error_dict, failed
from engine.errors import OUTCOME_UNKNOWN
from models.rows import Attempts, NodeRow

LEFT = "left"


class GoesAlone(Exception):
    """The node was cut off by the loss of a worker: it goes to an activity of its own, away from its neighbours."""

    def __init__(self, lost: int) -> None:
        super().__init__(f"{lost} workers were lost under the node")
        self.lost = lost


class FusedNode(NodeRun):
    """`known` is what the record has of the node, if this is not the segment's first try."""

    def __init__(self, runtime: ExecutionRuntime, request: NodeRequest, known: Attempts | None) -> None:
        super().__init__(runtime, request)
        self._known = known
        self._kept: NodeRow | None = None

    async def end(self) -> Outcome:
        """The outcome, committed. `left` says that the interpreter is to try again.

        Raises: GoesAlone; SystemFault; asyncio.CancelledError.
        """
        with node_attempt(self._runtime.meta, self._node, self._request):
            outcome = await self._ended()
        if self._kept is not None:
            await self._runtime.shared.recorder.record_now([self._kept])
        return outcome

    async def _ended(self) -> Outcome:
        try:
            return Outcome.from_wire(await self._run())
        except ApplicationError as failure:
            outcome = Outcome.from_wire(cast("list[Any]", failure.details[0]))
            if not failure.non_retryable:
                outcome.status = LEFT
            return outcome
        finally:
            if self._receipt is not None:
                await self._receipt.release()

    async def _look_up(self) -> Outcome | None:
        if activity.info().attempt == 1 and not self._request.again:
            return None
        known = self._known
        if known is None or known.execution_attempt != self._runtime.meta["attempt"]:
            self._lost, self._clean = self._lost_before(), True
            return None
        if known.status in TERMINAL:
            return self._outcome_on_record(known)
        if known.status == "retrying":
            raise next_attempt(failed(known.error or {}, attempts=known.attempts), 0)
        if known.status == "running":
            self._after_loss(known)
            self._leave(known)
        return None

    def _leave(self, known: Attempts) -> None:
        """Out of the segment, unless the worker handed it back in good order."""
        if self._used >= known.attempts:  # the attempt that was cut off counts
            error = error_dict(OUTCOME_UNKNOWN, "the worker was lost while the node ran", retryable=True)
            raise next_attempt(failed(error, attempts=known.attempts), 0)
        if self._lost:
            raise GoesAlone(self._lost)

    def _record(self, status: str, outcome: Outcome) -> None:
        self._kept = self._row(status, outcome)
