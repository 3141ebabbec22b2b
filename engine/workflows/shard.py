"""The Temporal workflow of a shard: some passes of a large loop, so that no history grows past its limits."""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from engine.contracts import CHILD_COMMAND, SHARD_WORKFLOW, UNWANTED, Command, ShardInput
from engine.dag.frame import Frame, NodeState
from engine.dag.packing import unpack_plan
from engine.dag.slices import Slice
from engine.dag.snapshot import restore_container, take_container
from engine.dag.values import wire_size
from engine.workflows import options
from engine.workflows.commands import obey_in_turn, states
from engine.workflows.driver import Driver
from engine.workflows.execution import shard_size
from engine.workflows.interruption import to_the_end
from engine.workflows.ledger import Ledger


@workflow.defn(name=SHARD_WORKFLOW, sandboxed=False)
class ShardWorkflow:
    """Gives {results, iterations, broken, variables, generation, count, digest}, or `error`, or `cancelled`."""

    @workflow.init
    def __init__(self, request: ShardInput) -> None:
        # What a failure of the loop means, and its assign, are the parent's business.
        plan = unpack_plan(request.plan).varied(request.node, retry=None, final="fail", assigns=False)
        self._request = request
        self._node = plan.nodes[request.node]
        self._ended = False
        self._cancelled = False
        self._slice = Slice(plan, request.slice, workflow.time(), expand_local=False, shard_passes=shard_size(plan))
        self._run = self._slice.run
        self._run.generation = max(self._run.generation, request.generation)
        self._run.hand_back = False
        self._run.root_ended = self._root_ended
        ledger = Ledger() if request.state is None else Ledger.from_wire(request.state["ledger"])
        self._driver = Driver(self._run, request.meta, ledger, lambda: self._ended)
        self._driver.packed_plan = lambda: request.plan
        self._driver.unrecorded_node = request.node
        self._driver.paused = request.paused if request.state is None else request.state["paused"]
        self._driver.on_progress = self._watch_length

    @workflow.run
    async def run(self, request: ShardInput) -> dict[str, Any]:
        frame = self._slice.frame
        frame.nodes[request.node].generation = request.generation
        if request.state is None:
            self._run.start_passes(frame, self._node, request.opened, request.variables)
        else:
            restore_container(self._run, frame, self._node, request.state["run"])
        await self._drive()
        reply, _ = await to_the_end(self._close(frame.nodes[request.node]))
        return reply

    async def _close(self, state: NodeState) -> dict[str, Any]:
        await self._confirm()
        return await self._reply(state)

    async def _confirm(self) -> None:
        request = self._request
        await self._driver.recording.confirm(self._node.path, tuple(request.iteration), request.low, request.high)

    async def _drive(self) -> None:
        driver = self._driver
        while True:
            try:
                self._watch_length()
                await driver.drive()
            except asyncio.CancelledError:
                self._cancel()
                continue
            if self._ended and driver.is_idle:
                return
            _, cancelled = await to_the_end(self._settle())
            if cancelled:
                self._cancel()
            elif driver.is_settled:
                self._continue_as_new()

    def _cancel(self) -> None:
        self._cancelled = True
        self._driver.paused = False
        self._run.now = workflow.time()
        self._run.cancel(self._slice.frame)

    async def _settle(self) -> None:
        await self._confirm()
        self._driver.step()

    def _watch_length(self) -> None:
        self._driver.draining = workflow.info().is_continue_as_new_suggested() and not self._cancelled

    def _root_ended(self, frame: Frame) -> None:
        self._ended = True

    def _continue_as_new(self) -> None:
        driver, request = self._driver, self._request
        driver.children.abandon()
        request.state = {
            "run": take_container(self._run, self._slice.frame, self._node),
            "ledger": driver.ledger.to_wire(),
            "paused": driver.paused,
        }
        workflow.continue_as_new(request)

    async def _reply(self, state: NodeState) -> dict[str, Any]:
        ledger = self._driver.ledger
        reply: dict[str, Any] = {
            "count": ledger.count,
            "digest": ledger.digest,
            "generation": self._run.generation,
            "cancelled": self._cancelled or state.status == "cancelled",
            "error": state.error if state.status == "failed" else None,
        }
        if state.status == "success":
            members = state.output["o"]
            items = members["items"]
            broken = bool(members["broken"]["v"])
            count = members["iterations"]["v"]
            small = wire_size(items) <= options.INLINE_BYTES
            reply["results"] = items if small else await self._driver.recording.stored(items)
            reply["iterations"] = count
            reply["broken"] = self._request.low + count - 1 if broken else None
            reply["variables"] = dict(self._slice.frame.variables)
        return reply

    @workflow.signal(name=CHILD_COMMAND)
    async def command(self, command: Command) -> None:
        """A person's word, passed on by the parent."""
        await obey_in_turn(self._driver, command)

    @workflow.update(name=CHILD_COMMAND)
    async def answered_command(self, command: Command) -> bool:
        """The same from who knows that the node is here, as the row of an approval says; False if it is not."""
        return await obey_in_turn(self._driver, command)

    @answered_command.validator
    def _validate_command(self, command: Command) -> None:
        if self._ended:
            raise ApplicationError("the shard has ended", type="CONFLICT", non_retryable=True)

    @workflow.query(name=UNWANTED)
    def unwanted(self, number: int) -> dict[str, list[Any]]:
        """What must not go on in a segment that was interrupted."""
        return self._driver.segments.unwanted(number)

    @workflow.query(name="state")
    def state(self) -> dict[str, Any]:
        return {"status": "paused" if self._driver.paused else "running", "nodes": states(self._run)}
