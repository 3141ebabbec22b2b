"""The whole engine on real servers, with its worker in this process, and a lab of its own for each test."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle, WorkflowHistory
from temporalio.exceptions import ApplicationError, CancelledError

import worker
from engine.activities.runtime import Runtime
from engine.activities.starting import execution_input
from engine.contracts import EXECUTION_WORKFLOW, Command, temporal_id
from engine.dag.parsing import parse_spec
from engine.dag.validate import validate
from engine.dag.values import inline
from engine.expressions import AstReferenceParser
from engine.settings import Settings, load_settings
from models.repositories.executions import Executions, NewExecution
from models.repositories.node_executions import NodeExecutions
from models.repositories.tenants import Tenants
from models.repositories.workflows import Workflows
from models.rows import NodeRow
from models.tables import Execution
from models.tenancy import TenantId, mint_tenant
from structforge.devstack.application import running_servers
from structforge.devstack.binaries import find_temporal
from structforge.devstack.process import Command as ServerCommand
from structforge.devstack.server import SupervisedServer
from structforge.devstack.temporal import TemporalServer
from structforge.devstack.unprivileged import HOME_NOTE
from tests.engine.workflows.effects import Effects
from tests.models.server import free_port
from tests.replay.stored import write_anew

FREE_PORTS = dict.fromkeys(("temporal_port", "temporal_ui_port", "postgres_port", "redis_port"), 0)
_STATUSES = {
    "success": WorkflowExecutionStatus.COMPLETED,
    "failed": WorkflowExecutionStatus.FAILED,
    "timed_out": WorkflowExecutionStatus.FAILED,
    "cancelled": WorkflowExecutionStatus.CANCELED,
}


@dataclass(slots=True)
class Stack:
    """Servers, runtime and a running worker."""

    settings: Settings
    runtime: Runtime
    effects: Effects


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A data folder that PostgreSQL, which does not run as root, may pass through."""
    base = Path(tempfile.mkdtemp(prefix="structforge-engine-"))
    base.chmod(0o711)
    try:
        yield base / "data"
    finally:
        for note in base.rglob(HOME_NOTE):
            shutil.rmtree(note.read_text().strip(), ignore_errors=True)
        shutil.rmtree(base, ignore_errors=True)


@contextlib.asynccontextmanager
async def open_servers() -> AsyncGenerator[Settings]:
    """Real servers on free ports; the settings name them."""
    with open_folder() as data_dir:
        settings = load_settings(
            data_dir=data_dir,
            embedded={**FREE_PORTS, "start_timeout_s": 180},
            http={"allowed_hosts": ["127.0.0.1"]},
            worker={"graceful_shutdown_s": 0},  # what a test has left behind is not waited for
            codec={"encrypt": False},  # the histories of these tests are recorded, and replayed without any key
        )
        async with running_servers(settings) as endpoints:
            yield endpoints.settings


@contextlib.asynccontextmanager
async def open_stack(settings: Settings, effects: Effects) -> AsyncGenerator[Stack]:
    """A worker on those servers, in this process."""
    async with worker.open_runtime(settings) as runtime, worker.build_worker(settings, runtime):
        yield Stack(settings, runtime, effects)


@contextlib.asynccontextmanager
async def open_effects() -> AsyncGenerator[Effects]:
    effects = Effects()
    server = await asyncio.start_server(effects.serve, "127.0.0.1", 0)
    effects.port = server.sockets[0].getsockname()[1]
    try:
        yield effects
    finally:
        server.close()


class ShortHistories(TemporalServer):
    """A Temporal server that suggests continue-as-new after a few dozen events instead of four thousand."""

    async def prepare(self) -> ServerCommand:
        command = await super().prepare()
        limit = ["--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=30"]
        return ServerCommand(name="temporal-short", argv=[*command.argv, *limit], log=command.log)


@contextlib.asynccontextmanager
async def open_short_histories(settings: Settings) -> AsyncGenerator[Settings]:
    """The same PostgreSQL and Valkey with a Temporal server of the above kind."""
    with open_folder() as data_dir:
        (data_dir / "logs").mkdir(parents=True)
        ports = [free_port() for _ in range(4)]
        server = ShortHistories(
            data_dir, find_temporal(), settings.temporal.namespace,
            port=ports[0], ui_port=ports[1], http_port=ports[2], metrics_port=ports[3],
        )  # fmt: skip
        supervised = SupervisedServer(server, 180, lambda: None)
        await supervised.start()
        try:
            yield settings.override({"temporal": {"address": server.address}})
        finally:
            await supervised.stop(2.5)


@dataclass(slots=True)
class Ended:
    """What is on record of an execution that has ended."""

    row: Execution
    nodes: dict[str, NodeRow]  # by path, with [iteration] if there is one; the newest generation
    all: list[NodeRow]
    error: dict[str, Any] | None
    history: WorkflowHistory
    lab: Lab

    @property
    def status(self) -> str:
        return self.row.status

    async def output(self) -> Any:
        return await self.lab.load(self.row.output)

    async def output_of(self, place: str) -> Any:
        return await self.lab.load(self.nodes[place].output)

    def states(self) -> dict[str, str]:
        return {place: row.status for place, row in self.nodes.items()}

    def events(self, kind: str) -> int:
        """Events of one type in the history, such as `activity_task_scheduled`."""
        name = f"{kind}_event_attributes"
        return sum(event.HasField(name) for event in self.history.events)  # pyright: ignore[reportArgumentType]

    @property
    def history_bytes(self) -> int:
        return sum(event.ByteSize() for event in self.history.events)


@dataclass(slots=True)
class Started:
    """A running execution."""

    id: UUID
    handle: WorkflowHandle[Any, Any]
    lab: Lab

    async def command(self, name: str, path: str = "", iteration: list[int] | None = None, output: Any = None) -> bool:
        value = None if output is None else inline(output)
        return await self.handle.execute_update("command", Command(name, path, iteration or [], value))

    async def cancel(self) -> None:
        await self.handle.cancel()

    async def status_of(self, path: str) -> str:
        state = await self.handle.query("state")
        return next((row["status"] for row in state["nodes"] if row["path"] == path), "absent")

    async def until(self, path: str, status: str, *, timeout_s: float = 60) -> None:
        await self.lab.eventually(lambda: self._has(path, status), timeout_s=timeout_s)

    async def _has(self, path: str, status: str) -> bool:
        return await self.status_of(path) == status

    async def runs(self) -> int:
        """Temporal runs so far: 1 and one more for each continue-as-new."""
        count = 0
        async for _ in self.lab.stack.runtime.temporal.list_workflows(f'WorkflowId = "{self.handle.id}"'):
            count += 1
        return count

    async def end(self, *, timeout_s: float = 90) -> Ended:
        """Wait for the end and check what holds for every execution; gives what is on record."""
        error: dict[str, Any] | None = None
        async with asyncio.timeout(timeout_s):
            try:
                await self.handle.result()
            except WorkflowFailureError as failure:
                cause = failure.cause
                assert isinstance(cause, ApplicationError | CancelledError), cause
                error = cause.details[0] if cause.details else None
        return await self._ended(error)

    async def _ended(self, error: dict[str, Any] | None) -> Ended:
        lab = self.lab
        row = await Executions(lab.stack.runtime.database).get(lab.tenant, self.id)
        rows = await self._rows()
        repeated = {key: count for key, count in Counter(one.key for one in rows).items() if count > 1}
        assert repeated == {}
        unfinished = [one.node_path for one in rows if one.finished_at is None]
        assert unfinished == [], "an execution is not finished before its rows are"
        described = await self.handle.describe()
        assert described.status is _STATUSES[row.status], (row.status, described.status)
        history = await self.handle.fetch_history()
        newest: dict[str, NodeRow] = {}
        for one in sorted(rows, key=lambda one: one.generation):
            newest[_place(one)] = one
        return Ended(row, newest, rows, error or row.error, history, lab)

    async def _rows(self) -> list[NodeRow]:
        rows: list[NodeRow] = []
        repository = NodeExecutions(self.lab.stack.runtime.database)
        while True:
            page = await repository.list(self.lab.tenant, self.id, after=rows[-1].key if rows else None, limit=1000)
            rows += page
            if len(page) < 1000:
                return rows


def _place(row: NodeRow) -> str:
    return row.node_path + (f"[{'.'.join(map(str, row.iteration))}]" if row.iteration else "")


@dataclass(slots=True)
class Lab:
    """A tenant of its own on a running stack."""

    stack: Stack
    tenant: TenantId
    started: list[Started] = field(default_factory=list[Started])
    max_histories: int = 6  # of one test, when they are recorded

    @classmethod
    async def open(cls, stack: Stack) -> Lab:
        tenant = mint_tenant(uuid4())
        await Tenants(stack.runtime.database).ensure(tenant, str(tenant))
        return cls(stack, tenant)

    # ---- effects, by names that no other test uses

    @property
    def effects(self) -> Effects:
        return self.stack.effects

    def name(self, text: str) -> str:
        return f"{str(self.tenant)[-12:]}.{text}"

    def call(self, node: str, kind: str = "do", query: str = "", **more: Any) -> dict[str, Any]:
        """An http node that calls the effect server; its calls are counted under `lab.name(node)`."""
        params = {"url": self.effects.url(f"/{kind}/{self.name(node)}") + query}
        return {"id": node, "type": "http", "params": params, **more}

    def hold(self, node: str, **more: Any) -> dict[str, Any]:
        return self.call(node, "hold", **more)

    async def seen(self, node: str, count: int = 1) -> None:
        await self.effects.seen(self.name(node), count)

    def release(self, node: str) -> None:
        self.effects.release(self.name(node))

    def calls(self, node: str) -> int:
        return self.effects.count(self.name(node))

    # ---- executions

    async def save(self, document: dict[str, Any]) -> tuple[UUID, UUID]:
        """Store a workflow; ids of it and its version."""
        document = {"name": f"w-{uuid4().hex[:8]}", **document}
        parts = {"nodes": document["nodes"], "edges": document.get("edges", [])}
        spec = parse_spec({**document, **parts})
        runtime = self.stack.runtime
        issues = validate(spec, runtime.programs._catalogue, AstReferenceParser())  # pyright: ignore[reportPrivateUsage]
        assert [issue for issue in issues if issue.severity == "error"] == []
        saved = await Workflows(runtime.database).create(self.tenant, {**document, **parts})
        return saved.workflow.id, saved.version.id

    async def start(self, document: dict[str, Any], input_data: Any = None, *, trigger: str | None = None) -> Started:
        workflow_id, version_id = await self.save(document)
        new = NewExecution(
            workflow_id=workflow_id,
            version_id=version_id,
            workflow_name=document.get("name", "w"),
            input=inline({} if input_data is None else input_data),
            trigger_node=trigger,
            node_total=len(document["nodes"]),
        )
        return await self._start(new)

    async def rerun(self, ended: Ended, from_node: str) -> Started:
        row = ended.row
        new = NewExecution(
            workflow_id=row.workflow_id,
            version_id=row.version_id,
            workflow_name=row.workflow_name,
            input=row.input,
            trigger_node=row.trigger_node,
            rerun_of=row.id,
            rerun_from=from_node,
        )
        return await self._start(new)

    async def _start(self, new: NewExecution) -> Started:
        runtime = self.stack.runtime
        created = await Executions(runtime.database).create_execution(self.tenant, new)
        identifier = created.execution.id
        request = await execution_input(
            runtime.database, runtime.versions, self.tenant, identifier, values=runtime.values
        )
        handle = await runtime.temporal.start_workflow(
            EXECUTION_WORKFLOW,
            request,
            id=temporal_id(str(self.tenant), str(identifier)),
            task_queue=self.stack.settings.worker.task_queue,
        )
        started = Started(identifier, handle, self)
        self.started.append(started)
        return started

    async def run(self, document: dict[str, Any], input_data: Any = None, **more: Any) -> Ended:
        return await (await self.start(document, input_data, **more)).end()

    async def load(self, value: dict[str, Any] | None) -> Any:
        return None if value is None else await self.stack.runtime.values.load(self.tenant, value)

    async def eventually(self, holds: Callable[[], Awaitable[bool]], *, timeout_s: float = 60) -> None:
        """Wait for a state that has no event to await."""
        async with asyncio.timeout(timeout_s):
            while not await holds():  # noqa: ASYNC110
                await asyncio.sleep(0.03)

    # ---- histories

    async def histories(self) -> list[WorkflowHistory]:
        """Every run of every Temporal workflow of this tenant, children and shards included, oldest first."""
        found: list[tuple[float, WorkflowHistory]] = []
        client = self.stack.runtime.temporal
        async for one in client.list_workflows(f'WorkflowId STARTS_WITH "{self.tenant}:"'):
            handle = client.get_workflow_handle(one.id, run_id=one.run_id)
            found.append((one.start_time.timestamp(), await handle.fetch_history()))
        return [history for _, history in sorted(found, key=lambda item: item[0])]

    async def record(self, folder: Path, name: str) -> None:
        """Keep the histories for the replay test: `name`, `name-2`, ... without those that are large."""
        started, histories = time.monotonic(), await self.histories()
        while len(histories) < len(self.started) and time.monotonic() - started < 5:
            await asyncio.sleep(0.1)
            histories = await self.histories()
        write_anew(folder, name, histories, limit=self.max_histories)


# ---- documents


def pure(node: str, mapping: Any = None, **more: Any) -> dict[str, Any]:
    """A local node."""
    return {"id": node, "type": "transform", "params": {"mapping": mapping}, **more}


def chain(*nodes: str) -> list[dict[str, str]]:
    """Edges from each node to the next."""
    return [{"source": a, "target": b} for a, b in itertools.pairwise(nodes)]


def graph(*nodes: dict[str, Any], outputs: Any = None, **more: Any) -> dict[str, Any]:
    """A graph whose nodes follow one another, unless `edges` are given."""
    edges = more.pop("edges", None)
    tree: dict[str, Any] = {"nodes": list(nodes), **more}
    tree["edges"] = chain(*(node["id"] for node in nodes)) if edges is None else edges
    if outputs is not None:
        tree["outputs"] = outputs
    return tree


def foreach(node: str, items: Any, body: dict[str, Any], **params: Any) -> dict[str, Any]:
    more = {key: params.pop(key) for key in ("retry", "on_error", "then", "assign", "isolate") if key in params}
    return {
        "id": node,
        "type": "loop",
        "params": {"loop_type": "foreach", "items": items, "body": body, **params},
        **more,
    }
