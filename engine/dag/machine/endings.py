"""Endings: when a frame is over, and what its end means for whoever opened it."""

from __future__ import annotations

from engine.dag.frame import Frame, leaf_outputs
from engine.dag.machine.containers import Containers
from engine.dag.outcome import Outcome
from engine.dag.work import Work


class Endings(Containers):
    """The ends of passes, branches and root frames."""

    def _check(self, frame: Frame) -> None:
        """End the frame when all of it has settled, or, when it stops, when nothing in it runs."""
        if frame.closing or self.frames.get(frame.key) is not frame:
            return
        if frame.stopping:
            if frame.active == 0:
                self._cancel_unstarted(frame)
                self._frame_ended(frame)
        elif frame.unsettled == 0:
            self._frame_ended(frame)

    def _cancel_unstarted(self, frame: Frame) -> None:
        for index, state in frame.nodes.items():
            if not state.settled:
                self._settle(frame, index, "cancelled", None)

    def _frame_ended(self, frame: Frame) -> None:
        frame.closing = True
        if frame.graph.owner is None or frame.parent is None:
            self.root_ended(frame)
        elif frame.stopping:
            self._body_failed(frame)
        elif frame.graph.closes:
            self._issue("pass", frame.graph.index, frame.iteration, frame.generation)
        else:
            output = leaf_outputs(frame, self.plan.leaves(frame.graph))
            self._body_closed(frame, Outcome("success", output=output))

    def _pass_done(self, work: Work, outcome: Outcome) -> None:
        """The end of a body has been evaluated; that of a failed item only to see whether the loop breaks there."""
        frame = self.frames[(work.subject, work.iteration)]
        if outcome.status == "success" and not frame.cancelling:
            self._body_closed(frame, outcome)
            return
        if outcome.status == "failed" and not frame.cancelling:
            frame.failure, frame.failure_node = outcome.error, ""
            if (outcome.opened or {}).get("between"):  # the loop's own condition failed, not the item
                self._loop_of(frame)[2].fail(outcome.error)
        else:
            frame.cancelling = True
        self._body_failed(frame)

    def _body_failing(self, frame: Frame) -> None:
        """A pass or branch has failed for good: what else its container runs for nothing now stops at once."""
        if frame.parent is None or frame.graph.owner is None or self.frames.get(frame.key) is not frame:
            return
        if self.plan.nodes[frame.graph.owner].kind == "parallel":
            self._branch_failing(*self._parallel_of(frame), frame)
            return
        parent, node, loop = self._loop_of(frame)
        if not loop.continues:
            loop.fail(frame.failure, frame.failure_node)
            self._stop_passes(parent, node, loop, above=-1)

    def _body_closed(self, frame: Frame, outcome: Outcome) -> None:
        owner = self.plan.nodes[frame.graph.owner or 0]
        (self._pass_closed if owner.kind == "loop" else self._branch_closed)(frame, outcome)

    def _body_failed(self, frame: Frame) -> None:
        owner = self.plan.nodes[frame.graph.owner or 0]
        (self._pass_failed if owner.kind == "loop" else self._branch_failed)(frame)
