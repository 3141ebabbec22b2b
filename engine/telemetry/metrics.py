"""Every metric of StructForge. Label values are bounded: types, statuses, routes, queues; never ids or tenants.

Each process has all of them and moves those that concern its work.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from engine import errors
from engine.telemetry.tally import CountTally, DurationTally, Readings

disable_created_metrics()  # a second sample of each series that nobody reads

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

NODE_BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
EXECUTION_BOUNDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 21_600, 86_400)
LAG_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)
TRIGGERS = frozenset({"manual", "webhook", "timer", "event", "workflow", "schedule", "rerun", "api", "backfill"})
CODES = frozenset(value for name, value in vars(errors).items() if name.isupper() and isinstance(value, str))

READINGS = Readings()

# ---- executions

EXECUTIONS_CREATED = Counter(
    "structforge_executions_created", "Executions opened by this process", ("trigger",), registry=REGISTRY
)
EXECUTIONS_FINISHED = Counter(
    "structforge_executions_finished", "Executions closed by this process", ("status", "trigger"), registry=REGISTRY
)
EXECUTION_DURATION = Histogram(
    "structforge_execution_duration_seconds",
    "From the start of an execution to its end",
    ("status",),
    buckets=EXECUTION_BOUNDS,
    registry=REGISTRY,
)
EXECUTIONS_OPEN = Gauge(
    "structforge_executions_open",
    "Executions that are not over, by status; `queued` ones wait for a slot. Scheduler that leads only",
    ("status",),
    registry=REGISTRY,
)
OLDEST_PENDING = Gauge(
    "structforge_execution_oldest_pending_seconds",
    "Age of the oldest execution that is due and not started. Scheduler that leads only",
    registry=REGISTRY,
)
WORKFLOWS = Gauge(
    "structforge_workflows", "Workflows by status. Scheduler that leads only", ("status",), registry=REGISTRY
)
WORKFLOWS_RUNNING = Gauge(
    "structforge_workflows_running",
    "Workflows with an execution that is not over. Scheduler that leads only",
    registry=REGISTRY,
)

# ---- nodes

NODE_EXECUTIONS = CountTally(
    "structforge_node_executions_total",
    "Node executions that are on record, by their end",
    ("type", "status"),
    REGISTRY,
)
NODE_DURATION = DurationTally(
    "structforge_node_duration_seconds", "What a node execution took, its attempts included", ("type",), NODE_BOUNDS,
    REGISTRY,
)  # fmt: skip
NODE_RETRIES = CountTally(
    "structforge_node_retries_total", "Attempts that failed and were tried again", ("type",), REGISTRY
)
NODE_ERRORS = CountTally(
    "structforge_node_errors_total", "Node executions that failed, by error code", ("type", "code"), REGISTRY
)
REGIONS = CountTally("structforge_regions_total", "Runs of regions of local nodes", (), REGISTRY)
CACHE = CountTally(
    "structforge_result_cache_lookups_total",
    "Lookups of nodes with a cache: hit, miss, or bypass where no key can be made or Redis is away",
    ("outcome",),
    REGISTRY,
)

# ---- AI

AI_CALLS = Counter("structforge_ai_calls", "AI calls by their end", ("provider", "outcome"), registry=REGISTRY)
AI_TOKENS = Counter("structforge_ai_tokens", "Tokens of AI calls", ("provider", "direction"), registry=REGISTRY)
AI_COST = Counter(
    "structforge_ai_cost", "Cost of AI calls, in the unit of the models' prices", ("provider",), registry=REGISTRY
)

# ---- the recorder

RECORDED_ROWS = Counter("structforge_recorder_rows", "Rows of node executions committed", registry=REGISTRY)
RECORDER_LAG = Histogram(
    "structforge_recorder_lag_seconds",
    "Age of the oldest row of a commit",
    buckets=LAG_BOUNDS,
    registry=REGISTRY,
)
RECORDER_RETRIES = Counter("structforge_recorder_retries", "Commits that failed and were repeated", registry=REGISTRY)
RECORDER_QUEUED = Gauge("structforge_recorder_queued_rows", "Rows that wait for their commit", registry=REGISTRY)
RECORDER_QUEUED.set_function(lambda: READINGS.now("recorder_queued"))
LOG_LINES = Gauge(
    "structforge_log_lines_queued", "Log lines of executions that wait for their commit", registry=REGISTRY
)
LOG_LINES.set_function(lambda: READINGS.now("log_lines_queued"))

# ---- the scheduler

RELAYED_STARTS = Counter("structforge_relayed_starts", "Stranded executions that the relay started", registry=REGISTRY)
SCHEDULE_DRIFT = Histogram(
    "structforge_schedule_drift_seconds",
    "From when a schedule was due to when its execution was opened",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600),
    registry=REGISTRY,
)
REPAIRS = Counter("structforge_reconciler_repairs", "What the reconciler repaired", ("kind",), registry=REGISTRY)
LEADER = Gauge("structforge_leader", "1 in the process that leads", ("kind",), registry=REGISTRY)
BACKLOG = Gauge(
    "structforge_task_queue_backlog",
    "Tasks that wait in a task queue, as Temporal estimates. Scheduler that leads only",
    ("queue", "kind"),
    registry=REGISTRY,
)
BACKLOG_AGE = Gauge(
    "structforge_task_queue_backlog_age_seconds",
    "Age of the oldest of them. Scheduler that leads only",
    ("queue", "kind"),
    registry=REGISTRY,
)
POLLERS = Gauge(
    "structforge_task_queue_pollers",
    "Workers that asked a task queue for work within minutes. Scheduler that leads only",
    ("queue", "kind"),
    registry=REGISTRY,
)

# ---- the API

REQUESTS = Counter("structforge_http_requests", "Requests", ("method", "route", "status"), registry=REGISTRY)
REQUEST_DURATION = Histogram(
    "structforge_http_request_duration_seconds",
    "Until the whole answer was given; of streams, until they ended",
    ("method", "route"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=REGISTRY,
)
REQUESTS_RUNNING = Gauge("structforge_http_requests_running", "Requests under way", registry=REGISTRY)

# ---- what it stands on

UP = Gauge(
    "structforge_dependency_up", "1 if this process gets an answer: postgresql, redis, temporal", ("name",),
    registry=REGISTRY,
)  # fmt: skip
CONNECTIONS = Gauge(
    "structforge_database_connections", "Connections of this process's pool: open and idle", ("state",),
    registry=REGISTRY,
)  # fmt: skip
MAX_CONNECTIONS = Gauge("structforge_database_connections_max", "Most connections of the pool", registry=REGISTRY)
LOOP_LAG = Gauge(
    "structforge_event_loop_lag_seconds", "How late the event loop was at the last look", registry=REGISTRY
)
BUILD = Info("structforge_build", "What runs here", registry=REGISTRY)


def known(value: str, values: frozenset[str]) -> str:
    """A label value out of a bounded set; everything else is `other`."""
    return value if value in values else "other"


def ai_call(provider: str, outcome: str, tokens_in: int = 0, tokens_out: int = 0, cost: float | None = None) -> None:
    """Count one AI call; `outcome` is `success` or an error code, `cost` None where no price is known."""
    AI_CALLS.labels(provider, outcome if outcome == "success" else known(outcome, CODES)).inc()
    AI_TOKENS.labels(provider, "input").inc(tokens_in)
    AI_TOKENS.labels(provider, "output").inc(tokens_out)
    if cost is not None:
        AI_COST.labels(provider).inc(cost)


def samples() -> Iterable[str]:
    """Names of all samples that a scrape may have, the children of histograms included."""
    for family in REGISTRY.collect():
        kind = family.type
        if kind == "counter":
            yield f"{family.name}_total"
        elif kind == "histogram":
            yield from (f"{family.name}{end}" for end in ("_bucket", "_sum", "_count"))
        elif kind == "info":
            yield f"{family.name}_info"
        else:
            yield family.name
