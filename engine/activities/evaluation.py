"""Evaluation: runs pieces of work in waves, so that the templates of many nodes share one call to the sandbox.

A wave goes through the same steps for all its tasks: `when`, `inputs`, parameters, the node itself, `assign`. A task
that fails or is skipped drops out; the others go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from engine.activities.approvals import asked
from engine.activities.clients.redis_live import Partial
from engine.activities.deadline import within
from engine.activities.partials import PartialText
from engine.activities.program import GraphProgram, NodeProgram, filled
from engine.activities.result_cache import Kept, lease_s_for, result_key
from engine.activities.runtime import ExecutionRuntime
from engine.activities.secrecy import execute
from engine.activities.task import Task, log_of
from engine.contracts import idempotency_key
from engine.dag.outcome import Outcome
from engine.dag.values import NULL, Value
from engine.errors import EXECUTION_FAILED, TIMEOUT, NodeError, SystemFault
from engine.expressions import Request, Template, render_many
from engine.nodes.base import Credential, NodeContext, NodeResult
from engine.nodes.context import unseen
from engine.nodes.outbound.redaction import Redaction
from engine.nodes.plugins.guard import secrets_in
from engine.telemetry import metrics
from engine.telemetry.context import bound


class Evaluation:
    """Evaluates the work of one execution."""

    def __init__(self, runtime: ExecutionRuntime, inline_limit: int) -> None:
        self._runtime = runtime
        self._shared = runtime.shared
        self._inline_limit = inline_limit

    async def run(self, tasks: Sequence[Task]) -> None:
        """Give every task its outcome."""
        now = time.time()
        for task in tasks:
            task.started_at = now
            try:
                task.scope = await self._runtime.scopes.read(task.wire)
                self._prepare(task)
            except NodeError as error:
                task.fail(error)
        nodes = [task for task in tasks if task.program is not None and task.outcome is None]
        await self._run_nodes(nodes)
        await self._run_ends([task for task in tasks if task.graph is not None and task.outcome is None])

    def _prepare(self, task: Task) -> None:
        if task.work.kind in ("pass", "outputs"):
            task.graph = self._runtime.program.graph(task.work.subject)
        else:
            task.program = self._runtime.program.node(task.work.subject)

    # ---- nodes

    async def _run_nodes(self, tasks: list[Task]) -> None:
        assigns = [task for task in tasks if task.work.kind == "assign"]
        others = [task for task in tasks if task.work.kind != "assign"]
        others = await self._check_when(others)
        others = await self._render_inputs(others)
        others = await self._render_params(others)
        for task in others:
            await self._run_one(task)
        for task in assigns:
            task.scope["nodes"][_program(task).node.id] = {
                "status": "success",
                "output": await self._runtime.scopes.data(task.output or NULL),
                "error": None,
                "ports": {},
            }
            task.outcome = Outcome("success", started_at=task.started_at, finished_at=task.started_at)
        done = [task for task in (*others, *assigns) if task.outcome is not None and task.outcome.status == "success"]
        await self._assign([task for task in done if task.work.kind in ("node", "assign")])

    async def _check_when(self, tasks: list[Task]) -> list[Task]:
        asked = [task for task in tasks if _program(task).when is not None]
        for task, result in zip(asked, await self._render([(_program(t).when, t) for t in asked]), strict=True):
            if isinstance(result, NodeError):
                task.fail(result)
            elif not result:
                task.outcome = Outcome(
                    "skipped", reason="when", attempts=0, started_at=task.started_at, finished_at=task.started_at
                )
        return _unsettled(tasks)

    async def _render_inputs(self, tasks: list[Task]) -> list[Task]:
        asked = [task for task in tasks if _program(task).inputs is not None]
        for task, result in zip(asked, await self._render([(_program(t).inputs, t) for t in asked]), strict=True):
            if isinstance(result, NodeError):
                task.fail(result)
            else:
                task.scope["inputs"] = result
        return _unsettled(tasks)

    async def _render_params(self, tasks: list[Task]) -> list[Task]:
        for task, result in zip(tasks, await self._render([(_program(t).params, t) for t in tasks]), strict=True):
            if isinstance(result, NodeError):
                task.fail(result)
            else:
                task.rendered = result
        return _unsettled(tasks)

    async def _render(self, pairs: list[tuple[Template | None, Task]]) -> list[Any]:
        if not pairs:
            return []
        filled = [(template, task.scope) for template, task in pairs if template is not None]
        return await render_many(filled, self._shared.evaluator)

    async def _run_one(self, task: Task) -> None:
        program = _program(task)
        try:
            params = self._params(task, program)
            context = await self._context(task, program)
            self._keep_secret(task, secrets_in(context.credential))
            task.outcome = await within(program.node.timeout_s, self._carried_out(task, program, params, context))
        except NodeError as error:
            task.fail(error)
        except TimeoutError:
            seconds = program.node.timeout_s
            task.fail(NodeError(f"the attempt did not end within {seconds:g} s", code=TIMEOUT, retryable=True))
        except (MemoryError, RecursionError) as error:
            task.fail(NodeError(f"the node ran out of room: {type(error).__name__}", code=EXECUTION_FAILED))
        except SystemFault:
            raise
        except Exception as error:  # ours: Temporal tries again, and the execution's log says why
            log_of(self._runtime, task).defect(error)
            raise

    async def _carried_out(self, task: Task, program: NodeProgram, params: Any, context: NodeContext) -> Outcome:
        if task.work.kind == "open":
            return await self._opened(task, program, await program.type.open(params, context))
        return await self._executed(task, program, params, context)

    def _params(self, task: Task, program: NodeProgram) -> Any:
        if program.parsed is not None:
            return program.parsed
        params = program.type.parse_params(filled(program, task.rendered))
        if program.params.constant:
            program.parsed = params
        return params

    async def _context(self, task: Task, program: NodeProgram) -> NodeContext:
        work, meta = task.work, self._runtime.meta
        upstream = task.wire.get("u")
        reads = program.type.reads_upstream and upstream is not None
        return NodeContext(
            tenant=meta["tenant"],
            execution_id=meta["execution_id"],
            workflow_id=meta["workflow_id"],
            node_path=program.node.path,
            node_name=program.node.name,
            iteration=work.iteration,
            generation=work.generation,
            attempt=task.attempt,
            idempotency_key=idempotency_key(meta["execution_id"], program.node.path, work.iteration, work.generation),
            upstream=await self._runtime.scopes.data(upstream) if reads and upstream is not None else None,
            scope=task.scope,
            ports=self._shared.ports,
            credential=await self._credential(program),
            deadline_s=program.node.timeout_s,
            log_sink=log_of(self._runtime, task),
            partial_sink=self._partial_sink(task, program),
            budget=self._runtime.program.budget,
            budgets_above=[(above, bounds) for above, bounds in meta.get("budgets", ())],
            budget_approved=task.budget_approved,
        )

    def _partial_sink(self, task: Task, program: NodeProgram) -> Callable[[str], None]:
        """Where an I/O node's text goes while it comes."""
        live, work = self._shared.live, task.work
        if live is None or program.node.kind != "io":
            return unseen
        execution_id = UUID(self._runtime.meta["execution_id"])
        place = (program.node.path, work.iteration, work.generation)
        first = Partial(self._runtime.tenant, execution_id, *place, task.attempt, 0, "")
        return PartialText(live.publish_partial, first)

    async def _executed(self, task: Task, program: NodeProgram, params: Any, context: NodeContext) -> Outcome:
        cache, results = program.spec.cache, self._shared.results
        if cache is None or results is None or program.node.kind not in ("io", "local"):
            return await self._outcome(task, program, await self._execute(task, program, params, context))
        key = result_key(program, filled(program, task.rendered), context)
        made: list[Outcome] = []
        began = time.monotonic()

        async def run() -> Kept:
            context.deadline_s = max(program.node.timeout_s - (time.monotonic() - began), 0.001)
            result = await self._execute(task, program, params, context)
            made.append(await self._outcome(task, program, result))
            return Kept(made[0].output, made[0].port, made[0].data, result.passes_upstream)

        if key is None:
            metrics.CACHE.add(("bypass",))
            await run()
            return made[0]
        # A local node takes less time than to ask who else is at it.
        lease_s = lease_s_for(program.node.timeout_s) if program.node.kind == "io" else None
        ttl_s = cache.ttl.total_seconds()
        kept, hit = await results.find_or_run(self._runtime.tenant, key, run, ttl_s=ttl_s, lease_s=lease_s)
        return await self._found(task, program, kept) if hit else made[0]

    async def _execute(self, task: Task, program: NodeProgram, params: Any, context: NodeContext) -> NodeResult:
        if context.credential is None:
            return await program.type.execute(params, context)

        def learn(secrets: list[str]) -> None:
            self._keep_secret(task, secrets)

        shared, tenant = self._shared, self._runtime.tenant
        return await execute(program, params, context, tenant=tenant, credentials=shared.credentials, learn=learn)

    def _keep_secret(self, task: Task, secrets: list[str]) -> None:
        """Keep a credential's secrets out of the execution's log and out of the process's own."""
        log_of(self._runtime, task).secrets = secrets
        if secrets and (work := bound()) is not None:
            work.redact = Redaction(secrets).text

    async def _credential(self, program: NodeProgram) -> Credential | None:
        """The node's credential. A trigger has one for those who call from outside, not for itself."""
        name = program.spec.credential
        if name is None or program.node.kind == "trigger":
            return None
        return await self._shared.credentials.get(self._runtime.tenant, name)

    async def _found(self, task: Task, program: NodeProgram, kept: Kept) -> Outcome:
        """The outcome of a node whose result was there."""
        outcome = Outcome("success", output=await self._fitted(kept.output), port=kept.port, attempts=task.attempt)
        if kept.passes_upstream:
            outcome.data = task.wire.get("u") or NULL
        elif kept.data is not None:
            outcome.data = await self._fitted(kept.data)
        outcome.cached = True
        await self._note_success(task, program, outcome)
        return outcome

    async def _fitted(self, value: Value) -> Value:
        """A Value that was kept under another limit of inline data, under this one's."""
        return await self._store(value["v"]) if "v" in value and value["n"] > self._inline_limit else value

    async def _outcome(self, task: Task, program: NodeProgram, result: NodeResult) -> Outcome:
        task.receipt = result.receipt
        if program.node.kind == "trigger":
            output: Value = task.wire.get("u") or NULL
        else:
            output = await self._store(result.output)
        data: Value | None = None
        if result.passes_upstream:
            data = task.wire.get("u") or NULL
        elif result.has_port_data:
            data = await self._store(result.port_data)
        outcome = Outcome("success", output=output, port=result.port, data=data, attempts=task.attempt)
        await self._note_success(task, program, outcome)
        return outcome

    async def _note_success(self, task: Task, program: NodeProgram, outcome: Outcome) -> None:
        """Note the times, and let `assign` see what came of the node."""
        outcome.started_at, outcome.finished_at = task.started_at, time.time()
        if program.assign is None:
            return
        carried = await self._runtime.scopes.data(outcome.output)
        port = outcome.port or program.node.default_port
        task.scope["nodes"][program.node.id] = {
            "status": "success",
            "output": carried,
            "error": None,
            "ports": {port: carried if outcome.data is None else await self._runtime.scopes.data(outcome.data)},
        }

    async def _store(self, data: Any) -> Value:
        return await self._shared.values.store(self._runtime.tenant, data, self._inline_limit)

    async def _assign(self, tasks: list[Task]) -> None:
        asked = [task for task in tasks if _program(task).assign is not None]
        for task, result in zip(asked, await self._render([(_program(t).assign, t) for t in asked]), strict=True):
            if isinstance(result, NodeError):
                task.fail(result, task.attempt)
            elif task.outcome is not None:
                task.outcome.assigned = {name: await self._store(value) for name, value in result.items()}

    # ---- opening containers, delays and child workflows

    async def _opened(self, task: Task, program: NodeProgram, opened: dict[str, Any]) -> Outcome:
        wire = dict(opened)
        if program.node.kind == "loop":
            wire = await self._opened_loop(task, program, opened)
        elif program.node.kind == "delay":
            wire = {"until": _until(opened)}
        elif program.node.kind == "approval":
            wire = await asked(self._runtime, task.work, program.node.path, opened, time.time())
        elif program.node.kind == "workflow":
            wire["input"] = await self._store(opened.get("input"))
        outcome = Outcome("success", opened=wire)
        outcome.started_at, outcome.finished_at = task.started_at, time.time()
        return outcome

    async def _opened_loop(self, task: Task, program: NodeProgram, opened: dict[str, Any]) -> dict[str, Any]:
        items = opened.get("items")
        count = len(items) if items is not None else opened.get("count")
        graph = self._runtime.program.graph(program.node.bodies[0])
        wire: dict[str, Any] = {"count": count, "concurrency": opened["concurrency"]}
        wire["max_iterations"] = opened["max_iterations"]
        wire["on_item_error"] = opened["on_item_error"]
        wire["breaks"] = graph.breaks is not None
        if items is not None:
            wire["items"] = await self._store(items)
        if graph.condition is not None:
            scope = {**task.scope, "index": 0, "last": None}
            (holds,) = await self._shared.evaluator.evaluate([Request(graph.condition, scope)])
            if isinstance(holds, NodeError):
                raise holds
            wire["proceed"] = bool(holds)
        return wire

    # ---- the ends of passes, branches and executions

    async def _run_ends(self, tasks: list[Task]) -> None:
        """Results of bodies and of the execution. A failed item has one already: its error."""
        ended = [task for task in tasks if task.graph is not None and "failed" not in task.wire]
        asked = [task for task in ended if task.graph is not None and task.graph.outputs is not None]
        results = await self._render([(t.graph.outputs if t.graph else None, t) for t in asked])
        outputs = {id(task): result for task, result in zip(asked, results, strict=True)}
        for task in tasks:
            try:
                result = outputs.get(id(task))
                if isinstance(result, NodeError):
                    raise result
                task.outcome = await self._ended(task, result)
                await self._decide(task, result)
            except NodeError as error:
                between = task.outcome is not None
                task.fail(error)
                if between and task.outcome is not None:
                    task.outcome.opened = {"between": True}

    async def _ended(self, task: Task, result: Any) -> Outcome:
        graph = task.graph
        assert graph is not None
        known = task.wire.get("failed") or task.wire.get("leaves")
        named = graph.outputs is not None and "failed" not in task.wire
        value = await self._store(result) if named else known or NULL
        return Outcome("success", output=value, started_at=task.started_at, finished_at=time.time())

    async def _decide(self, task: Task, result: Any) -> None:
        """Note whether the loop breaks here, and whether its condition lets another pass begin."""
        graph, outcome = task.graph, task.outcome
        assert graph is not None
        assert outcome is not None
        if graph.breaks is None and graph.condition is None:
            return
        named = graph.outputs is not None and "failed" not in task.wire
        last = result if named else await self._runtime.scopes.data(outcome.output)
        outcome.opened = await self._conditions(task, graph, last)
        outcome.finished_at = time.time()

    async def _conditions(self, task: Task, graph: GraphProgram, last: Any) -> dict[str, Any]:
        requests: list[Request] = []
        if graph.breaks is not None:
            requests.append(Request(graph.breaks, {**task.scope, "last": last}))
        if graph.condition is not None:
            following = {**task.scope, "last": last, "index": task.scope.get("index", 0) + 1}
            requests.append(Request(graph.condition, following))
        results = await self._shared.evaluator.evaluate(requests)
        for result in results:
            if isinstance(result, NodeError):
                raise result
        decided: dict[str, Any] = {}
        if graph.breaks is not None:
            decided["broke"] = bool(results[0])
        if graph.condition is not None:
            decided["proceed"] = bool(results[-1])
        return decided


def _until(opened: dict[str, Any]) -> float:
    if "duration_s" in opened:
        return time.time() + float(opened["duration_s"])
    return datetime.fromisoformat(opened["until"]).timestamp()


def _program(task: Task) -> NodeProgram:
    assert task.program is not None
    return task.program


def _unsettled(tasks: list[Task]) -> list[Task]:
    return [task for task in tasks if task.outcome is None]
