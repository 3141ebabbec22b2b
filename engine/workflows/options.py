"""Options of the activities that the interpreter starts, in one place."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio.common import RetryPolicy as TemporalRetryPolicy
from temporalio.workflow import ActivityCancellationType

from engine.dag.plan import PlanNode

HEARTBEAT_TIMEOUT = timedelta(seconds=10)
CANCEL_TIMEOUT_S = 30.0
LOCAL_BUDGET_S = 1.0  # of a region when nothing else runs
BESIDE_IO_BUDGET_S = 0.05  # of a region inside the workflow task while I/O nodes run or wait
REMOTE_BUDGET_S = 5.0  # of a region that is an activity of its own
SEGMENT_BUDGET_S = 10.0  # after it a segment starts nothing more
MAX_TASK_BYTES = 1_500_000  # commands of one workflow task
MAX_INPUT_BYTES = 1_000_000  # one activity input; larger ones are offloaded by the data converter anyway
INLINE_BYTES = 32_768
SMALL_INLINE_BYTES = 512
RESIDENT_BYTES = 1_000_000  # outputs that one execution may hold inline in its state

_SYSTEM_RETRY = TemporalRetryPolicy(
    initial_interval=timedelta(milliseconds=500), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=10)
)
_ONCE = TemporalRetryPolicy(maximum_attempts=1)
_DEFAULT_NODE_RETRY = TemporalRetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=30)
)


def local_once(seconds: float) -> dict[str, Any]:
    """A local activity that is tried once; what fails is repeated as an activity."""
    return {"start_to_close_timeout": timedelta(seconds=seconds), "retry_policy": _ONCE}


def until_done(seconds: float, *, heartbeat: bool = False) -> dict[str, Any]:
    """An activity of our own that is repeated until our infrastructure answers."""
    options: dict[str, Any] = {"start_to_close_timeout": timedelta(seconds=seconds), "retry_policy": _SYSTEM_RETRY}
    if heartbeat:
        options["heartbeat_timeout"] = HEARTBEAT_TIMEOUT
    return options


def segment(longest_s: float) -> dict[str, Any]:
    """A segment whose longest node may take `longest_s`. It answers when it is cancelled, unless it is lost."""
    options = until_done(SEGMENT_BUDGET_S + longest_s + 30, heartbeat=True)
    options["cancellation_type"] = ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
    return options


def node_options(node: PlanNode, activity_id: str) -> dict[str, Any]:
    """An I/O node. Attempts are our own count, so the policy gives the intervals and has no maximum."""
    options: dict[str, Any] = {
        "activity_id": activity_id,
        "summary": node.name,
        "start_to_close_timeout": timedelta(seconds=node.timeout_s + 15),
        "heartbeat_timeout": HEARTBEAT_TIMEOUT,
        "retry_policy": _DEFAULT_NODE_RETRY if node.retry is None else _node_retry(node),
        "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    }
    if node.queue is not None:
        options["task_queue"] = node.queue
    return options


def _node_retry(node: PlanNode) -> TemporalRetryPolicy:
    policy = node.retry
    assert policy is not None
    interval = timedelta(seconds=max(policy.interval_s, 0.001))
    longest = policy.max_interval_s if policy.max_interval_s is not None else policy.interval_s * 100
    return TemporalRetryPolicy(
        initial_interval=interval,
        backoff_coefficient=policy.coefficient,
        maximum_interval=max(timedelta(seconds=longest), interval),
    )
