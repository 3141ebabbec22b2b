"""Evaluates expressions: constants and plain paths at once, all else in batches in the sandbox."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from types import TracebackType
from typing import Any, Self, cast

from engine.errors import NodeError
from engine.expressions.faults import expression_error
from engine.expressions.outcomes import failure_of, outcome
from engine.expressions.parse import Expression
from engine.expressions.paths import resolve
from engine.expressions.program import Job, Variant, build
from engine.expressions.sandbox import Bounds, Sandbox, SandboxFailure

MAX_JOBS_A_RUN = 512
MAX_RUNAWAY_ITEMS = 5
_DATA_TYPES = frozenset({str, int, float, bool, type(None), list, dict})


@dataclass(frozen=True, slots=True)
class Request:
    """An expression and the names it may see: top-level name -> JSON data."""

    expression: Expression
    scope: Mapping[str, Any]


@dataclass(slots=True)
class _Task:
    """A job under way: where its result goes, and the errors that its unresolved paths stand for."""

    position: int
    expression: Expression
    job: Job
    errors: dict[int, NodeError]


class Evaluator:
    """A pool of sandbox processes. Usable as an asynchronous context manager; started once a worker process."""

    def __init__(self, *, processes: int = 2, timeout_s: float = 1.0, memory_bytes: int = 64 * 1024 * 1024) -> None:
        self._sandbox = Sandbox(processes)
        self._bounds = Bounds(timeout_s, memory_bytes)
        self._generous = Bounds(2 * timeout_s, memory_bytes)  # for jobs that are known to pass, in a repeated chunk

    async def start(self) -> None:
        await self._sandbox.start()

    async def close(self) -> None:
        await self._sandbox.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def evaluate(self, requests: Sequence[Request]) -> list[Any | NodeError]:
        """The result of every request as JSON data, or its own NodeError EXPRESSION_ERROR, in order."""
        results: list[Any] = [None] * len(requests)
        tasks: list[_Task] = []
        for position, request in enumerate(requests):
            self._settle_or_defer(position, request.expression, request.scope, results, tasks)
        await self._run_all(tasks, results, None)
        return results

    async def map_items(
        self, expression: Expression, items: Sequence[Any], names: Mapping[str, Any]
    ) -> list[Any | NodeError]:
        """One expression over many items, with `item` and `index` in scope beside `names`.

        An item that runs away costs at most about twice the time limit and fails alone. After five of them the
        rest is not evaluated and fails too, so that a bad expression over a long list ends.
        """
        results: list[Any] = [None] * len(items)
        tasks: list[_Task] = []
        scope = dict(names)
        for index, item in enumerate(items):
            scope["item"], scope["index"] = item, index
            self._settle_or_defer(index, expression, scope, results, tasks)
        await self._run_all(tasks, results, MAX_RUNAWAY_ITEMS)
        return results

    def _settle_or_defer(
        self, position: int, expression: Expression, scope: Mapping[str, Any], results: list[Any], tasks: list[_Task]
    ) -> None:
        """Write the result now if it needs no sandbox, else add a task."""
        if expression.constant:
            results[position] = expression.value
        elif expression.path is not None:
            try:
                results[position] = resolve(expression.path, scope, expression.source)
            except NodeError as error:
                results[position] = error
        else:
            tasks.append(_prepare(position, expression, scope))

    async def _run_all(self, tasks: list[_Task], results: list[Any], runaways_allowed: int | None) -> None:
        """Run tasks in chunks. One that dies is repeated up to the job that was running; that one then stands first."""
        pending, size, runaways, bounds = deque(tasks), MAX_JOBS_A_RUN, 0, self._bounds
        while pending:
            chunk = list(islice(pending, size))
            started = monotonic()
            try:
                await self._run_chunk(chunk, results, bounds)
                size, bounds = self._next_size(size, monotonic() - started), self._bounds
            except SandboxFailure as failure:
                if len(chunk) > 1 and not _is_first_guilty(failure):
                    size, bounds = _smaller(len(chunk), failure), self._generous
                    continue
                chunk, bounds = chunk[:1], self._bounds
                results[chunk[0].position] = await self._last_try(chunk, results, failure)
                runaways += 1
            for _ in chunk:
                pending.popleft()
            if runaways_allowed is not None and runaways >= runaways_allowed:
                _give_up(pending, results, runaways)
                return

    def _next_size(self, size: int, took_s: float) -> int:
        """Chunks grow while they take a small part of the time that one expression may take."""
        if took_s > self._bounds.time_s / 2:
            return max(1, size // 2)
        return min(size * 2, MAX_JOBS_A_RUN) if took_s < self._bounds.time_s / 4 else size

    async def _run_chunk(self, chunk: list[_Task], results: list[Any], bounds: Bounds) -> None:
        code, inputs = build([task.job for task in chunk])
        raw, _ = await self._sandbox.run(code, inputs, bounds)
        for task, answer in zip(chunk, cast("list[tuple[str, ...]]", raw), strict=True):
            results[task.position] = outcome(task.expression, answer, task.errors)

    async def _last_try(self, chunk: list[_Task], results: list[Any], failure: SandboxFailure) -> Any:
        """A worker process may have been killed from outside: a crash alone is tried once more."""
        if failure.reason == "crash":
            try:
                await self._run_chunk(chunk, results, self._bounds)
                return results[chunk[0].position]
            except SandboxFailure as again:
                failure = again
        return failure_of(chunk[0].expression, failure, self._bounds)


def _prepare(position: int, expression: Expression, scope: Mapping[str, Any]) -> _Task:
    arguments: list[Any] = []
    errors: dict[int, NodeError] = {}
    for index, path in enumerate(expression.paths):
        try:
            value = resolve(path, scope, expression.source)
            arguments.append(_data(value))
        except NodeError as error:
            errors[index] = error
    variant = Variant(expression, frozenset(errors)) if errors else Variant(expression)
    return _Task(position, expression, Job(variant, tuple(arguments)), errors)


def _data(value: Any) -> Any:
    """A mapping that loads its members lazily becomes data when it crosses into the sandbox."""
    if type(value) in _DATA_TYPES:
        return value
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    return value


def _running(failure: SandboxFailure) -> int:
    """The number of the job that was running when the run died; -1 before any."""
    return failure.printed.count("\n") - 1


def _is_first_guilty(failure: SandboxFailure) -> bool:
    """Whether the first job alone used up the whole time of the run."""
    return failure.reason == "timeout" and _running(failure) == 0


def _smaller(size: int, failure: SandboxFailure) -> int:
    """The next chunk after one that died: the jobs that were done by then.

    When it died at its first job, that job is tried alone; before any, the inputs together were too much.
    """
    running = _running(failure)
    return max(1, size // 2 if running < 0 else running)


def _give_up(pending: Iterable[_Task], results: list[Any], runaways: int) -> None:
    for task in pending:
        message = f"not evaluated: {runaways} items before it used up their time or memory"
        results[task.position] = expression_error(message, task.expression.source, reason="given_up")
