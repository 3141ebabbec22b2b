"""The fault table, one module a row."""

from __future__ import annotations

from tests.faults.row import Row
from tests.faults.rows import (
    api_kill,
    bad_nodes,
    clock,
    full_store,
    live_view,
    no_workers,
    old_histories,
    postgres_restart,
    provider,
    same_trigger,
    temporal_restart,
    three_faults,
    two_schedulers,
    worker_kill,
)

TABLE: tuple[Row, ...] = (
    worker_kill.ROW,
    no_workers.ROW,
    api_kill.ROW,
    temporal_restart.ROW,
    postgres_restart.ROW,
    live_view.ROW,
    full_store.ROW,
    provider.ROW,
    clock.ROW,
    old_histories.ROW,
    bad_nodes.ROW,
    same_trigger.ROW,
    two_schedulers.ROW,
    three_faults.ROW,
)
