"""Composition root of a worker process: settings, clients, then a Temporal worker that runs until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import os
import signal
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

from pydantic import ValidationError
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import PollerBehaviorSimpleMaximum, UnsandboxedWorkflowRunner, Worker, WorkerDeploymentConfig

import engine
from engine.activities.activities import Activities
from engine.activities.clients.brokers import BrokerPool
from engine.activities.clients.commands import RegisteredCommands
from engine.activities.clients.credentials import open_credentials
from engine.activities.clients.databases import Databases
from engine.activities.clients.isolated_python import IsolatedPython
from engine.activities.clients.mail import MailServers
from engine.activities.clients.objects import ObjectStore, Values
from engine.activities.clients.payload_visits import spare_idle_visits
from engine.activities.clients.redis_live import LiveView
from engine.activities.clients.redis_results import ResultStore
from engine.activities.clients.temporal import connect, protection_of
from engine.activities.generation.opening import open_models
from engine.activities.health import serving_health
from engine.activities.launching import translated_rpc_faults
from engine.activities.logs import LogWriter
from engine.activities.observability import observed, watched
from engine.activities.observation import Observation
from engine.activities.program import Programs
from engine.activities.readiness import Dependencies, dependencies, redis_view
from engine.activities.recorder import Recorder
from engine.activities.result_cache import ResultCache
from engine.activities.runtime import Runtime
from engine.activities.starting import Versions
from engine.activities.stuck import StuckWatch
from engine.errors import ConfigurationError, SystemFault
from engine.expressions import AstReferenceParser, Evaluator
from engine.expressions.script_pool import ScriptPool
from engine.nodes.outbound.addresses import HttpPolicy
from engine.nodes.outbound.client import HttpClient
from engine.nodes.plugins.processes import PluginProcesses
from engine.nodes.ports import Ports
from engine.nodes.registry import catalogue_of
from engine.nodes.scripting.runtimes import MontyScripts, Scripts
from engine.nodes.storage.local import LocalFiles
from engine.settings import Settings, load_settings
from engine.settings.nodes import ScriptSettings
from engine.settings.work import WorkerSettings
from engine.telemetry import metrics
from engine.workflows.execution import ExecutionWorkflow
from engine.workflows.launcher import LauncherWorkflow
from engine.workflows.notifying import NotificationWorkflow
from engine.workflows.shard import ShardWorkflow
from engine.workflows.upgrading import UpgradingLauncher, UpgradingNotification
from models.session import Database

WORKFLOWS = [ExecutionWorkflow, ShardWorkflow, LauncherWorkflow, NotificationWorkflow]
VERSIONED_WORKFLOWS = [ExecutionWorkflow, ShardWorkflow, UpgradingLauncher, UpgradingNotification]


@asynccontextmanager
async def open_runtime(settings: Settings) -> AsyncGenerator[Runtime]:
    """Every client of a worker, closed in the opposite order; the recorder writes what it holds before it closes.

    Raises: ConfigurationError if an address is missing; SystemFault if a server does not answer.
    """
    if settings.database.url is None or settings.temporal.address is None:
        raise ConfigurationError("a worker needs STRUCTFORGE_DATABASE__URL and TEMPORAL_ADDRESS")
    async with AsyncExitStack() as stack:
        database = await Database.open(settings.database.url.get_secret_value(), pool_size=settings.database.pool_size)
        stack.push_async_callback(database.close)
        live, kept = None, None
        if settings.redis.url is not None:
            live = LiveView.open(settings.redis.url.get_secret_value())
            stack.push_async_callback(live.close)
            kept = ResultStore.open(settings.redis.url.get_secret_value())
            stack.push_async_callback(kept.close)
        catalogue = catalogue_of(settings)
        recorder = Recorder(
            database,
            live=live,
            observe=Observation(catalogue).rows,
            max_delay_ms=settings.recorder.max_delay_ms,
            max_rows=settings.recorder.max_rows,
        )
        stack.push_async_callback(recorder.close)
        logs = LogWriter(database)
        stack.push_async_callback(logs.close)
        metrics.READINGS.read("recorder_queued", lambda: recorder.queued)
        metrics.READINGS.read("log_lines_queued", lambda: logs.queued)
        limits = settings.limits
        evaluator = await stack.enter_async_context(
            Evaluator(
                processes=settings.worker.evaluator_processes,
                timeout_s=limits.expression_timeout_s,
                memory_bytes=limits.expression_memory_bytes,
            )
        )
        http_policy = HttpPolicy(allowed_hosts=settings.http.allowed_hosts)
        http = HttpClient(http_policy, propagate_to=settings.tracing.propagate_to)
        stack.push_async_callback(http.aclose)
        brokers = await stack.enter_async_context(BrokerPool(http_policy))
        databases = await stack.enter_async_context(Databases(settings.files_root, http_policy))
        objects = ObjectStore.of(settings)
        values = Values(objects)
        plugins = PluginProcesses()
        stack.push_async_callback(plugins.close)
        credentials = open_credentials(settings, database, http)
        models = await stack.enter_async_context(open_models(settings, database, credentials))
        yield Runtime(
            database=database,
            recorder=recorder,
            values=values,
            versions=Versions(database, catalogue, AstReferenceParser()),
            programs=Programs(catalogue),
            evaluator=evaluator,
            ports=Ports(
                brokers=brokers,
                databases=databases,
                mail=MailServers(http_policy),
                scripts=await _open_scripts(settings.scripts, stack),
                commands=RegisteredCommands(settings.commands_file),
                evaluator=evaluator,
                models=models,
                http=http,
                files=LocalFiles(settings.files_root),
                plugins=plugins,
            ),
            credentials=credentials,
            live=live,
            temporal=await connect(
                settings.temporal.address, settings.temporal.namespace, objects, protection_of(settings)
            ),
            worker=f"{socket.gethostname()}:{os.getpid()}",
            inline_limit=limits.inline_output_bytes,
            results=None if kept is None else ResultCache(kept, values),
            logs=logs,
            log_level=settings.recorder.log_level,
            record_inputs=settings.recorder.inputs,
            fairness=settings.fairness,
        )


async def _open_scripts(settings: ScriptSettings, stack: AsyncExitStack) -> Scripts:
    pool = await stack.enter_async_context(ScriptPool(processes=settings.processes))
    isolated = IsolatedPython(size=settings.max_isolated, tmp_bytes=settings.tmp_bytes) if settings.cpython else None
    return Scripts(settings, MontyScripts(pool), isolated)


def build_worker(settings: Settings, runtime: Runtime, *, queue: str | None = None) -> Worker:
    """The Temporal worker of this process. The interpreter runs unsandboxed: a lint and import contracts guard it.

    With `queue` it serves that task queue of nodes, and no executions.
    """
    spare_idle_visits()
    options = settings.worker
    activities, deployment = Activities(runtime), deployment_of(options, versioned=queue is None)
    workflows = VERSIONED_WORKFLOWS if deployment.use_worker_versioning else WORKFLOWS
    return Worker(
        runtime.temporal,
        task_queue=options.task_queue if queue is None else queue,
        workflows=workflows if queue is None else [],
        activities=activities.all() if queue is None else [activities.execute_node],
        workflow_runner=UnsandboxedWorkflowRunner(),
        identity=runtime.worker,
        max_cached_workflows=options.max_cached_workflows,
        max_concurrent_workflow_tasks=options.max_concurrent_workflow_tasks,
        max_concurrent_activities=options.max_concurrent_activities,
        max_concurrent_local_activities=options.max_concurrent_activities,
        max_eager_activity_reservations_per_workflow_task=max(1, options.max_eager_activities),
        disable_eager_activity_execution=options.max_eager_activities == 0,
        workflow_task_poller_behavior=PollerBehaviorSimpleMaximum(10),
        activity_task_poller_behavior=PollerBehaviorSimpleMaximum(10),
        graceful_shutdown_timeout=timedelta(seconds=options.graceful_shutdown_s),
        # The pace of heartbeats is our own; held back here, they would bring cancellations late.
        max_heartbeat_throttle_interval=timedelta(seconds=0.2),
        default_heartbeat_throttle_interval=timedelta(seconds=0.2),
        deployment_config=deployment,
    )


def deployment_of(options: WorkerSettings, *, versioned: bool) -> WorkerDeploymentConfig:
    """The build that a worker reports. It is named in any case, because the SDK would otherwise hash every loaded
    module, which takes seconds of a worker's start.

    Executions are pinned to theirs if the fleet is versioned. A worker that serves nodes alone never is: nodes may
    change freely, so that it can serve every build.
    """
    version = WorkerDeploymentVersion(options.deployment_name or "structforge", build_id_of(options))
    if not versioned or options.deployment_name is None:
        return WorkerDeploymentConfig(version, use_worker_versioning=False)
    return WorkerDeploymentConfig(version, True, VersioningBehavior.PINNED)


def build_id_of(options: WorkerSettings) -> str:
    """The build of this code, as the settings name it."""
    return options.build_id or interpreter_build_id()


def interpreter_build_id() -> str:
    """A digest of the code that a replay depends on: the interpreter and the pure core."""
    digest = hashlib.sha256()
    root = Path(engine.__file__).parent
    for path in sorted([*root.glob("workflows/*.py"), *root.glob("dag/**/*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def queues_served(settings: Settings) -> list[str | None]:
    """Task queues of this process; None is the one of executions, which it serves alone unless told otherwise."""
    options = settings.worker
    named = list(dict.fromkeys(options.queues)) or [options.task_queue]
    return [None if queue == options.task_queue else queue for queue in named]


def _parts(settings: Settings, runtime: Runtime, running: Sequence[Worker]) -> Dependencies:
    async def ask_temporal() -> None:
        with translated_rpc_faults():
            await runtime.temporal.service_client.check_health(timeout=timedelta(seconds=2))

    async def ask_pollers() -> None:
        if not all(one.is_running for one in running):
            raise SystemFault("a task queue is not polled")

    optional = redis_view(runtime.live)
    return dependencies(
        runtime.database, ObjectStore.of(settings), ask_temporal, optional=optional, pollers=ask_pollers
    )


def settle_memory() -> None:
    """Keep what is loaded for good out of the garbage collector, and let it run less often over the rest.

    Messages are trees of small objects: with the default thresholds the collector takes a fifth of a worker's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)


async def serve(settings: Settings, *, ready: asyncio.Event | None = None) -> None:
    """Work until SIGTERM or SIGINT, then hand back what runs and write what is recorded.

    With `worker.queues` the process serves those task queues alone: nodes, and executions too if `worker.task_queue` is
    among them.
    """
    with observed("worker", settings):
        await _serve(settings, ready)


async def _serve(settings: Settings, ready: asyncio.Event | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_runtime(settings) as runtime, AsyncExitStack() as workers:
        health = runtime.temporal.service_client.check_health
        await workers.enter_async_context(watched(settings, runtime.database, runtime.live, health))
        running = [build_worker(settings, runtime, queue=queue) for queue in queues_served(settings)]
        await workers.enter_async_context(serving_health(settings.health, _parts(settings, runtime, running)))
        for one in running:
            await workers.enter_async_context(one)
        settle_memory()
        if ready is not None:
            ready.set()
        with StuckWatch(settings.worker.stuck_after_s):
            await stop.wait()


def with_queues(settings: Settings, names: str) -> Settings:
    """The settings of a worker that serves the task queues `names`, separated by commas; none leaves them as they are.

    Raises: ConfigurationError if a name is none of a task queue.
    """
    queues = [name.strip() for name in names.split(",") if name.strip()]
    try:
        return settings.override({"worker": {"queues": queues}}) if queues else settings
    except ValidationError as error:
        raise ConfigurationError(f"--queues: {error.errors()[0]['msg']}") from None


def main() -> None:
    """`python worker.py [--queues NAMES]`: a worker with the settings of the environment."""
    parser = argparse.ArgumentParser(description="Serve executions and nodes, or some task queues alone.")
    parser.add_argument("--queues", default="", metavar="NAMES", help="task queues to serve, separated by commas")
    asyncio.run(serve(with_queues(load_settings(), parser.parse_args().queues)))


if __name__ == "__main__":
    main()
