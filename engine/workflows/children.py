"""Children: shards of large loops, and other workflows, as child Temporal workflows.

They are abandoned when this Temporal workflow closes and cancelled by name when the run wants them cancelled, so
that continuing as new does not end them; afterwards an activity waits for those that still run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, cast

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    WorkflowAlreadyStartedError,
)
from temporalio.workflow import ParentClosePolicy

from engine.contracts import (
    AWAIT_CHILD,
    CHILD_COMMAND,
    EXECUTION_WORKFLOW,
    OPEN_CHILD,
    PAUSE,
    RESUME,
    SHARD_WORKFLOW,
    AwaitReply,
    AwaitRequest,
    ChildReply,
    ChildRequest,
    Command,
    ExecutionInput,
    ShardInput,
    temporal_id,
)
from engine.dag.control.loop import Loop
from engine.dag.outcome import Outcome, error_dict, failed
from engine.dag.slices import cut_container
from engine.dag.values import inline, mapping
from engine.dag.work import Work, WorkKey
from engine.errors import EXECUTION_FAILED
from engine.workflows import options

if TYPE_CHECKING:
    from engine.workflows.driver import Driver


class Children:
    """The children of one driver, by the key of the work they do."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._tasks: dict[WorkKey, asyncio.Task[None]] = {}
        self._ids: dict[WorkKey, str] = {}
        self._cancelled: dict[WorkKey, None] = {}
        self._opening: dict[WorkKey, bool] = {}  # children that are not known to exist; were we paused when asked?
        self._words: dict[asyncio.Task[None], None] = {}  # signals and cancellations on their way

    @property
    def opening(self) -> bool:
        """Whether a child, or a word to one, is on its way: another run could not find it, or would overtake it."""
        return bool(self._opening) or bool(self._words)

    @property
    def busy(self) -> bool:
        return bool(self._tasks)

    def start(self, work: Work) -> None:
        work.started = True
        self._opening[work.key] = self._driver.paused
        if work.kind == "shard" and work.purpose == "reattach":
            self._ids[work.key] = self._shard_id(work)  # it is there, so it can be told at once
        run = self._run_shard(work) if work.kind == "shard" else self._run_workflow(work)
        task = self._tasks[work.key] = asyncio.create_task(run)
        task.add_done_callback(self._driver.check)

    def cancel(self, key: WorkKey) -> None:
        """Ask a child to stop; its outcome still comes."""
        if key not in self._tasks or key in self._cancelled:
            return
        self._cancelled[key] = None
        if key in self._ids:
            self._send(self._cancel_by_id(self._ids[key]))

    async def _cancel_by_id(self, child_id: str) -> None:
        try:
            await workflow.get_external_workflow_handle(child_id).cancel()
        except ApplicationError:
            return  # it has closed already
        except Exception as error:
            workflow.logger.info("a child could not be cancelled: %s", error)

    def tell(self, command: Command) -> None:
        """Pass a person's word on to the shards."""
        for key, child_id in self._ids.items():
            if key[0] == "shard":
                self._send(self._signal(child_id, command))

    def _send(self, word: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(word)
        self._words[task] = None
        task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        del self._words[task]
        self._driver.check(task)
        self._driver.wake()

    async def _signal(self, child_id: str, command: Command) -> None:
        try:
            await workflow.get_external_workflow_handle(child_id).signal(CHILD_COMMAND, command)
        except Exception as error:
            workflow.logger.info("a shard could not be told %s: %s", command.name, error)

    def abandon(self) -> None:
        """Stop waiting, before continue-as-new."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    def _end(self, key: WorkKey, outcome: Outcome) -> None:
        for kept in (self._tasks, self._ids, self._cancelled, self._opening):
            kept.pop(key, None)
        driver = self._driver
        outcome.finished_at = outcome.finished_at or driver.now
        driver.run.complete(key, outcome, driver.now)
        driver.on_progress()
        driver.wake()

    # ---- shards

    async def _run_shard(self, work: Work) -> None:
        driver = self._driver
        arguments = self._shard_input(work)
        status, result, error = await self._run(work, self._shard_id(work), SHARD_WORKFLOW, arguments)
        reply = result if isinstance(result, dict) else {}
        driver.ledger.add_inner(int(reply.get("count", 0)), int(reply.get("digest", 0)))
        if status == "cancelled" or reply.get("cancelled"):
            outcome = Outcome("cancelled", generation=int(reply.get("generation", 0)))
        elif status == "success" and reply.get("error") is None:
            opened = {"iterations": reply["iterations"], "broken": reply["broken"]}
            outcome = Outcome(
                "success",
                output=reply["results"],
                opened=opened,
                assigned=reply["variables"],
                generation=reply["generation"],
            )
        else:
            outcome = failed(reply.get("error") or error or error_dict(EXECUTION_FAILED, "the shard failed"))
            outcome.generation = int(reply.get("generation", 0))
        self._end(work.key, outcome)

    def _shard_id(self, work: Work) -> str:
        node = self._driver.run.plan.nodes[work.subject]
        place = ".".join(map(str, work.iteration))
        return f"{workflow.info().workflow_id}/{node.path}[{place}]#{work.generation}@{work.low}"

    def _shard_input(self, work: Work) -> ShardInput:
        driver = self._driver
        run = driver.run
        node = run.plan.nodes[work.subject]
        loop = run.containers[(work.subject, work.iteration)]
        assert isinstance(loop, Loop)
        share = max(1, loop.concurrency // loop.slots)
        opened = {**loop.opened, "concurrency": share, "low": work.low, "high": work.high}
        return ShardInput(
            meta=driver.meta,
            plan=driver.packed_plan(),
            node=work.subject,
            iteration=list(work.iteration),
            generation=work.generation,
            low=work.low,
            high=work.high,
            opened=opened,
            slice=cut_container(run, run.frame_of(work), node),
            variables=dict(loop.variables),
            paused=driver.paused,
        )

    # ---- other workflows

    async def _run_workflow(self, work: Work) -> None:
        driver = self._driver
        frame = driver.run.frame_of(work)
        node, state = driver.run.plan.nodes[work.subject], frame.nodes[work.subject]
        opened = state.opened or {}
        request = ChildRequest(driver.meta, node.path, list(work.iteration), work.generation, opened, state.started_at)
        reply = cast(
            "ChildReply",
            await workflow.execute_activity(OPEN_CHILD, request, result_type=ChildReply, **options.until_done(30)),
        )
        if reply.input is None:
            error = reply.error or error_dict(EXECUTION_FAILED, "the workflow could not be started")
            self._end(work.key, failed(error))
            return
        child = ExecutionInput(**reply.input)
        execution_id = child.meta["execution_id"]
        child_id = temporal_id(child.meta["tenant"], execution_id)
        if not opened.get("wait", True):
            await self._start_only(child_id, child)
            self._end(work.key, Outcome("success", output=inline({"outputs": None, "execution_id": execution_id})))
            return
        status, result, error = await self._run(work, child_id, EXECUTION_WORKFLOW, child)
        self._end(work.key, _child_outcome(status, result, error, execution_id))

    async def _start_only(self, child_id: str, child: ExecutionInput) -> None:
        try:
            await workflow.start_child_workflow(
                EXECUTION_WORKFLOW,
                child,
                id=child_id,
                parent_close_policy=ParentClosePolicy.ABANDON,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            )
        except WorkflowAlreadyStartedError:
            return

    # ---- running one, or finding it again

    async def _run(self, work: Work, child_id: str, name: str, argument: Any) -> tuple[str, Any, dict[str, Any] | None]:
        """Status, result and error of a child that is started, or that an earlier run started."""
        self._ids[work.key] = child_id
        if work.purpose == "reattach":
            self._opened(work, child_id)
            return await self._await_again(child_id)
        try:
            handle = await workflow.start_child_workflow(
                name,
                argument,
                id=child_id,
                parent_close_policy=ParentClosePolicy.ABANDON,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                result_type=dict,
            )
        except WorkflowAlreadyStartedError:
            handle = None
        self._opened(work, child_id)
        if handle is None:
            return await self._await_again(child_id)
        try:
            return "success", await handle, None
        except ChildWorkflowError as error:
            return _failure_of(error)

    def _opened(self, work: Work, child_id: str) -> None:
        """Tell a child what came while it was not there to be told."""
        was_paused = self._opening.pop(work.key)
        self._driver.wake()
        if work.key in self._cancelled:
            self._send(self._cancel_by_id(child_id))
        if work.kind == "shard" and self._driver.paused != was_paused:
            self._send(self._signal(child_id, Command(PAUSE if self._driver.paused else RESUME)))

    async def _await_again(self, child_id: str) -> tuple[str, Any, dict[str, Any] | None]:
        request = AwaitRequest(self._driver.meta, child_id)
        try:
            reply = await workflow.execute_activity(
                AWAIT_CHILD, request, result_type=AwaitReply, **options.until_done(86_400 * 30, heartbeat=True)
            )
        except ActivityError as error:
            return "failed", None, error_dict(EXECUTION_FAILED, f"the child could not be found again: {error.cause}")
        answer = cast("AwaitReply", reply)
        return answer.status, answer.result, answer.error


def _failure_of(error: ChildWorkflowError) -> tuple[str, Any, dict[str, Any] | None]:
    cause = error.cause
    if isinstance(cause, CancelledError):
        details = cause.details[0] if cause.details else None
        return "cancelled", details, None
    if isinstance(cause, ApplicationError) and cause.details:
        return "failed", None, cast("dict[str, Any]", cause.details[0])
    return "failed", None, error_dict(EXECUTION_FAILED, f"the child failed: {cause}")


def _child_outcome(status: str, result: Any, error: dict[str, Any] | None, execution_id: str) -> Outcome:
    if status == "success":
        output = result.get("output") if isinstance(result, dict) else None
        members = {"outputs": output or inline(None), "execution_id": inline(execution_id)}
        return Outcome("success", output=mapping(members))
    if status == "cancelled":
        return Outcome("cancelled")
    details = dict((error or {}).get("details") or {})
    details["execution_id"] = execution_id
    base = error or error_dict(EXECUTION_FAILED, "the workflow failed")
    return failed({**base, "details": details})
