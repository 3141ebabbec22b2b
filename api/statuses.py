"""The statuses that replies speak of, so that generated clients know them."""

from __future__ import annotations

from typing import Literal

ExecutionStatus = Literal["pending", "running", "paused", "success", "failed", "cancelled", "timed_out"]
ApprovalStatus = Literal["open", "approved", "rejected", "timeout", "cancelled"]
NodeStatus = Literal["pending", "running", "retrying", "waiting", "success", "failed", "skipped", "pruned", "cancelled"]
