"""Stopping: what is cancelled, taken back or awaited when a node or a frame must end early."""

from __future__ import annotations

from abc import abstractmethod

from engine.dag.control.loop import Loop
from engine.dag.control.parallel import Parallel
from engine.dag.frame import Frame
from engine.dag.machine.outcomes import Outcomes
from engine.dag.outcome import error_dict
from engine.dag.plan import PlanNode
from engine.dag.values import NULL
from engine.dag.work import WorkKey
from engine.errors import CANCELLED


class Stopping(Outcomes):
    """Cancelling of frames, of nodes and of single pieces of work."""

    # ---- what the layers above add

    @abstractmethod
    def _stop_passes(self, frame: Frame, node: PlanNode, loop: Loop, *, above: int) -> None:
        """Cancel the running passes of a loop behind a number."""

    @abstractmethod
    def _stop_branches(self, frame: Frame, node: PlanNode, parallel: Parallel) -> None:
        """Cancel the running branches of a parallel."""

    @abstractmethod
    def _check_container(self, frame: Frame, node: PlanNode) -> None:
        """End the container if nothing in it runs and nothing more may start."""

    @abstractmethod
    def _body_failed(self, frame: Frame) -> None:
        """Hand a body that did not succeed to its container."""

    def cancel(self, frame: Frame) -> None:
        """Stop a frame from outside: running work is cancelled, the frame ends when all of it has."""
        if not frame.cancelling:
            told = frame.failure is not None and not frame.closing  # its own failure has stopped it before
            frame.cancelling = True
            if not told:
                self._stop(frame)
            self._check(frame)

    def _stop(self, frame: Frame) -> None:
        """Take back what has not started and cancel what runs."""
        if frame.closing:
            self._cancel_work(("pass", *frame.key))
        for index, state in list(frame.nodes.items()):
            if state.status in ("queued", "running", "retrying", "waiting", "closing"):
                self._cancel_node(frame, index)

    def _cancel_node(self, frame: Frame, index: int) -> None:
        state = frame.nodes[index]
        container = self.containers.get((index, frame.iteration))
        if container is not None:
            container.stopped = True
            node = self.plan.nodes[index]
            self._cancel_work(("timer:timeout", index, frame.iteration))
            if isinstance(container, Loop):
                self._stop_passes(frame, node, container, above=-1)
            else:
                self._stop_branches(frame, node, container)
            self._check_container(frame, node)
            return
        waits = False
        for key in self._keys_of(index, frame.iteration):
            waits = self._cancel_work(key) or waits
        if not waits and not state.settled:
            self._unstart(frame, index)

    def _unstart(self, frame: Frame, index: int) -> None:
        state = frame.nodes[index]
        if state.status == "queued" and state.attempts == 0:
            frame.active -= 1
            state.status = "pending"
        else:
            state.finished_at, state.output, state.assigned = self.now, NULL, None
            state.error = error_dict(CANCELLED, "cancelled while it waited")
            self._settle(frame, index, "cancelled", None)

    def _cancel_work(self, key: WorkKey) -> bool:
        """Cancel a piece of work; True if its outcome must still be awaited."""
        work = self.works.get(key)
        if work is None:
            return False
        if work.kind in ("timer", "approval"):
            del self.works[key]
            self._cancels.append(key)
            return False
        if work.started:
            self._cancels.append(key)
            return True
        del self.works[key]
        if work.kind == "shard":
            loop = self.containers[(work.subject, work.iteration)]
            loop.running.remove(work.low)
        elif work.kind == "pass":
            frame = self.frames[(work.subject, work.iteration)]
            frame.cancelling = True
            self._body_failed(frame)
        return False
