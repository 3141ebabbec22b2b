"""Messages between the API, the interpreter and the activities, one dataclass each. Fields are only ever added.

They are flat: nested parts are JSON data in the wire forms of `engine.dag`, so that a message costs one pass of a
JSON encoder. Names of Temporal workflows and activities are part of the contract: histories hold them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

EXECUTION_WORKFLOW = "structforge-execution"
SHARD_WORKFLOW = "structforge-shard"
LAUNCHER_WORKFLOW = "structforge-launcher"
NOTIFICATION_WORKFLOW = "structforge-notification"

RUN_SEGMENT = "run_segment"
RUN_REGION = "run_region"
EXECUTE_NODE = "execute_node"
FINISH_EXECUTION = "finish_execution"
RECORD_ROWS = "record_rows"
STORE_VALUE = "store_value"
OPEN_CHILD = "open_child"
AWAIT_CHILD = "await_child"
RECORD_APPROVAL = "record_approval"
OPEN_SCHEDULED = "open_scheduled"
WITHDRAW_SCHEDULED = "withdraw_scheduled"
DELIVER_NOTIFICATION = "deliver_notification"

ATTRIBUTE_TENANT = "StructForgeTenant"
ATTRIBUTE_WORKFLOW = "StructForgeWorkflow"
ATTRIBUTE_TRIGGER = "StructForgeTrigger"
ATTRIBUTE_STATUS = "StructForgeStatus"

LARGE_OUTPUT_BYTES = 262_144  # past it, an output of an execution that has many parts becomes one stored value

SYSTEM_FAULT = "SYSTEM_FAULT"  # type of the failure that is repeated without counting an attempt
WORKER_LEAVES = "WORKER_LEAVES"  # a worker that shuts down hands its work back

PAUSE = "pause"
RESUME = "resume"
SKIP = "skip"
RETRY_NOW = "retry_now"
APPROVE = "approve"
STATE = "state"
UNWANTED = "unwanted"
CHILD_COMMAND = "command"


def temporal_id(tenant: str, execution_id: str) -> str:
    """Id of the Temporal workflow of an execution."""
    return f"{tenant}:{execution_id}"


def idempotency_key(execution_id: str, path: str, iteration: tuple[int, ...] | list[int], generation: int) -> str:
    """Key of a node execution, the same for all its attempts."""
    return f"{execution_id}:{path}:{'.'.join(map(str, iteration))}:{generation}"


@dataclass(slots=True)
class ExecutionMeta:
    """What every activity must know of its execution. Ids are UUID text, `started_at` seconds since the epoch."""

    tenant: str
    execution_id: str
    workflow_id: str
    workflow_name: str
    version_id: str
    trigger: str = "manual"
    started_at: float = 0.0
    attempt: int = 1
    depth: int = 0  # executions above this one, through `workflow` nodes
    started_by: str = ""  # the person who started it, or its outermost parent; "" if no person did
    budgets: list[list[Any]] = field(default_factory=list[Any])  # [execution id, {tokens, cost}] of executions above


@dataclass(slots=True)
class ExecutionInput:
    """Input of the Temporal workflow of an execution; `state` is set when it has continued as new.

    `plan` is packed (`engine.dag.packing`); in older histories it is the plan's wire form.
    """

    meta: dict[str, Any]
    plan: str | dict[str, Any]
    input: dict[str, Any]
    trigger: int | None = None
    trigger_output: dict[str, Any] | None = None
    seed: list[Any] = field(default_factory=list[Any])
    state: dict[str, Any] | None = None


@dataclass(slots=True)
class ShardInput:
    """Input of the Temporal workflow that runs passes `low` to `high` of a loop.

    `slice` is the cut of the loop's own frame that holds nothing but the loop; `opened` is what opening it found.
    """

    meta: dict[str, Any]
    plan: str | dict[str, Any]
    node: int
    iteration: list[int]
    generation: int
    low: int
    high: int
    opened: dict[str, Any]
    slice: dict[str, Any]
    variables: dict[str, Any] = field(default_factory=dict[str, Any])
    paused: bool = False
    state: dict[str, Any] | None = None


@dataclass(slots=True)
class RegionRequest:
    """Slices to drive for at most `budget_s`; `rows` are outcomes that only the interpreter knows so far.

    `closing` is set when the one slice is all that is left of an execution: if it ends well, the region closes the
    record too. It holds `count`, `digest` and `handled_failures` of what has settled before.
    """

    meta: dict[str, Any]
    slices: list[Any]
    budget_s: float
    inline_limit: int
    rows: list[Any] = field(default_factory=list[Any])
    closing: dict[str, int] | None = None


@dataclass(slots=True)
class SegmentRequest:
    """Slices to drive, fused I/O nodes too, `parallel` of them at once at most. The rest as in RegionRequest.

    `number` is what the Temporal workflow knows the segment by: its query UNWANTED answers by it. `again` asks to look
    the nodes up in the record first: a segment before this one ended without an answer.
    """

    meta: dict[str, Any]
    slices: list[Any]
    budget_s: float
    inline_limit: int
    number: int
    parallel: int
    rows: list[Any] = field(default_factory=list[Any])
    closing: dict[str, int] | None = None
    again: bool = False


@dataclass(slots=True)
class RegionResult:
    """What a region or a segment did.

    `outcomes`: [slice number, work kind, subject, outcome] in the order they happened. `checkpoints`: [slice number,
    node, value] of containers that are half way. `inner`: count and digest of rows inside containers, committed.
    `more`: there is local work left. `closed`: the record of the execution is closed, as successful.
    Of a segment, `outcomes` also has the kinds `begun` (the node runs while another one fails) and `alone` (it goes to
    an activity of its own, for [lost workers]).
    """

    outcomes: list[Any] = field(default_factory=list[Any])
    checkpoints: list[Any] = field(default_factory=list[Any])
    inner: list[int] = field(default_factory=lambda: [0, 0])
    more: bool = False
    closed: bool = False


@dataclass(slots=True)
class NodeRequest:
    """One node execution. `attempts` have been used already; `again` asks to look them up in the record first.

    `closing` is set when the node is all that is left of an execution: if it succeeds, its activity closes the record
    too. It holds `count`, `digest` and `handled_failures` of what has settled before, `leaves` (outputs by node id) and
    `rows` that only the interpreter knows.
    """

    meta: dict[str, Any]
    node: int
    path: str
    iteration: list[int]
    generation: int
    scope: dict[str, Any]
    inline_limit: int
    attempts: int = 0
    again: bool = False
    closing: dict[str, Any] | None = None
    budget_approved: bool = False  # people let the node pass a budget that it had asked over
    lost: int = 0  # workers that were lost under the node before, in segments


@dataclass(slots=True)
class FinishRequest:
    """The end of an execution: `count` and `digest` over all its rows, `rows` those not known to be recorded."""

    meta: dict[str, Any]
    status: str
    count: int
    digest: int
    finished_at: float
    output: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    handled_failures: int = 0
    rows: list[Any] = field(default_factory=list[Any])
    final: bool = False  # every missing row has been sent: close whatever the count says


@dataclass(slots=True)
class RecordRequest:
    """Rows to record, then the question whether all of `count` and `digest` are there (not asked if count < 0).

    `low` and `high` narrow the question to the passes of a shard, below `path` and `iteration`.
    """

    meta: dict[str, Any]
    rows: list[Any]
    count: int = -1
    digest: int = 0
    path: str = ""
    iteration: list[int] = field(default_factory=list[int])
    low: int = 0
    high: int = 0


@dataclass(slots=True)
class RecordReply:
    """`present` None: everything is recorded. Otherwise [path, iteration, generation, digest] of what is.

    `status` is the final state of an execution that is closed, which an earlier closing may have decided.
    """

    present: list[Any] | None = None
    status: str = ""


@dataclass(slots=True)
class StoreRequest:
    """A value to put into the object store as a whole, if it is larger than an inline output may be."""

    meta: dict[str, Any]
    value: dict[str, Any]


@dataclass(slots=True)
class ChildRequest:
    """Open the execution that a `workflow` node asks for."""

    meta: dict[str, Any]
    path: str
    iteration: list[int]
    generation: int
    opened: dict[str, Any]
    started_at: float


@dataclass(slots=True)
class ChildReply:
    """The child's input, or the failure that keeps it from starting."""

    input: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


@dataclass(slots=True)
class AwaitRequest:
    """Wait for a Temporal workflow that an earlier run started."""

    meta: dict[str, Any]
    temporal_id: str


@dataclass(slots=True)
class AwaitReply:
    """`status`: success, failed or cancelled, with the workflow's result or its failure's details."""

    status: str
    result: Any = None
    error: dict[str, Any] | None = None


@dataclass(slots=True)
class ApprovalRequest:
    """An approval as it stands now, for its row. `asked` is what opening it found (`engine.dag.control.approval`).

    `status` is open, approved, rejected, timeout or cancelled. Times are seconds since the epoch, `closed_at` 0 while
    it is open.
    """

    meta: dict[str, Any]
    path: str
    type: str
    iteration: list[int]
    generation: int
    asked: dict[str, Any]
    status: str
    decisions: list[Any]
    opened_at: float
    closed_at: float = 0.0
    attempts: int = 1  # of the node


@dataclass(slots=True)
class Command:
    """A person's word for a running execution or shard: pause, resume, skip, retry_now, approve.

    `approve` has `decision` (approved or rejected), `by`, `form` (a Value) and `comment`; `approval` is the id of the
    row that the person saw, so that a word never counts for another asking of the same node.
    """

    name: str
    path: str = ""
    iteration: list[int] = field(default_factory=list[int])
    output: dict[str, Any] | None = None
    decision: str = ""
    by: str = ""
    form: dict[str, Any] | None = None
    comment: str = ""
    approval: str = ""


@dataclass(slots=True)
class LaunchRequest:
    """What a Temporal Schedule starts: an execution of the published version of a workflow."""

    tenant: str
    workflow_id: str
    schedule_id: str
    schedule_name: str
    trigger_node: str | None = None
    input: dict[str, Any] | None = None
    started_by: str = ""


@dataclass(slots=True)
class OpenScheduled:
    """Make the row of the execution that is due at `scheduled_at` (seconds since the epoch)."""

    request: dict[str, Any]
    scheduled_at: float
    fired_at: float


@dataclass(slots=True)
class LaunchReply:
    """The input of the execution's Temporal workflow, its priority and its tenant's weight, or why there is none."""

    input: dict[str, Any] | None = None
    priority: int = 3
    error: dict[str, Any] | None = None
    weight: float = 1.0


@dataclass(slots=True)
class NotificationInput:
    """Send the notification of that row, in its `round`; it is dead after `max_attempts` tries.

    The wait after the first is `first_retry_s`, and three times as long after each further one. The credentials are
    those of rules and documents that name none.
    """

    tenant: str
    notification_id: str
    round: int = 0
    max_attempts: int = 8
    first_retry_s: float = 5.0
    smtp_credential: str = ""
    webhook_credential: str = ""
