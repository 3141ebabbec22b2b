"""Every recorded history replays with the interpreter as it is now: executions that run survive an upgrade.

They hold every node type, every way that the interpreter may take, and both sides of every patch marker.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.converter import DataConverter

import engine.workflows
from engine.activities.clients.objects import ObjectStore
from engine.activities.clients.temporal import data_converter
from engine.contracts import (
    APPROVE,
    AWAIT_CHILD,
    DELIVER_NOTIFICATION,
    EXECUTE_NODE,
    EXECUTION_WORKFLOW,
    FINISH_EXECUTION,
    LAUNCHER_WORKFLOW,
    NOTIFICATION_WORKFLOW,
    OPEN_CHILD,
    OPEN_SCHEDULED,
    PAUSE,
    RECORD_APPROVAL,
    RECORD_ROWS,
    RESUME,
    RETRY_NOW,
    RUN_REGION,
    SHARD_WORKFLOW,
    SKIP,
    WITHDRAW_SCHEDULED,
)  # fmt: skip
from engine.nodes.registry import built_in_catalogue
from tests.replay.contents import Contents, contents_of
from tests.replay.replaying import replay_failures, replayer_of
from tests.replay.stored import read, stored

HISTORIES = stored()
PATCHED = re.compile(r"workflow\.patched\(\s*(\"?)([\w-]+)\"?\s*\)")
WAYS = {
    *(f"workflow {name}" for name in (EXECUTION_WORKFLOW, SHARD_WORKFLOW, LAUNCHER_WORKFLOW, NOTIFICATION_WORKFLOW)),
    *(f"child {name}" for name in (EXECUTION_WORKFLOW, SHARD_WORKFLOW)),
    *(f"activity {name}" for name in (EXECUTE_NODE, RUN_REGION, RECORD_ROWS, OPEN_CHILD, AWAIT_CHILD)),
    *(f"activity {name}" for name in (OPEN_SCHEDULED, WITHDRAW_SCHEDULED, DELIVER_NOTIFICATION)),
    *(f"local {name}" for name in (RUN_REGION, FINISH_EXECUTION, RECORD_APPROVAL)),
    *(f"command {name}" for name in (PAUSE, RESUME, SKIP, RETRY_NOW, APPROVE)),
    *(f"signal {name}" for name in (PAUSE, RESUME, SKIP, APPROVE)),  # a parent's, to its shards
    "event workflow_execution_completed",
    "event workflow_execution_failed",
    "event workflow_execution_canceled",
    "event workflow_execution_cancel_requested",
    "event workflow_execution_continued_as_new",
    "event external_workflow_execution_cancel_requested",
    "event child_workflow_execution_failed",
    "event child_workflow_execution_canceled",
    "event activity_task_cancel_requested",
    "event activity_task_canceled",
    "event activity_task_failed",
    "event timer_fired",
    "event timer_canceled",
}
# A history of each control path must be there by its name, whatever else is.
CONTROL_PATHS = (
    "pause_lets_running_nodes_finish_and_starts_nothing",
    "timer_that_fires_while_paused_waits_for_resume",
    "cancel_ends_running_nodes_and_runs_no_handlers",
    "cancel_acts_inside_a_delay",
    "cancel_acts_inside_nested_bodies",
    "cancel_that_comes_while_the_record_is_closed_keeps_the_final_state",
    "skip_gives_a_pending_node_its_output_without_running_it",
    "skip_ends_a_running_node_with_the_output",
    "skip_ends_a_delay_and_a_whole_loop",
    "retry_now_ends_the_wait_and_respects_the_attempts_left",
    "retry_now_of_a_local_node_that_waits",
    "failure_runs_the_handlers_and_fails",
    "error_port_takes_the_failure_and_out_dies",
    "skip_on_error_passes_the_input_on",
    "io_node_is_retried_by_its_policy_with_one_key[fixed]",
    "io_node_is_retried_by_its_policy_with_one_key[exponential]",
    "local_node_leaves_its_region_to_be_retried",
    "node_timeout_bounds_one_attempt",
    "execution_timeout_runs_handlers_and_ends_timed_out",
    "execution_retry_from_failed_keeps_what_succeeded",
    "execution_retry_from_start_runs_everything_again_in_a_new_generation",
    "rerun_keeps_outcomes_and_variables_before_the_node",
    "join_any_runs_once_at_the_first_live_edge",
    "when_false_skips_the_node_and_prunes_what_follows",
    "condition_takes_one_port",
    "while_sees_last_and_break_ends_it[True]",
    "break_cuts_off_later_passes_that_run",
    "item_error_keeps_its_place[True]",
    "local_loop_inside_a_mixed_one_and_the_other_way_round",
    "parallel_any_cancels_the_others",
    "parallel_n_out_of_reach_fails_at_once",
    "parallel_timeout_cancels_and_fails",
    "container_is_retried_whole_in_a_new_generation",
    "variables_of_a_loop_leave_it_in_order",
    "child_gets_its_input_and_gives_its_outputs",
    "child_that_is_not_waited_for_goes_on_alone",
    "failing_child_fails_the_node_with_its_error",
    "results_of_shards_are_in_order",
    "pause_holds_the_passes_of_shards",
    "cancel_ends_the_shards_and_records_their_nodes",
    "skip_reaches_a_node_inside_a_shard",
    "pause_outlives_it",
    "delay_is_carried_as_a_deadline",
    "child_workflow_is_found_again",
    "cancel_acts_in_a_delay_of_an_earlier_run",
    "timeout_counts_from_the_first_run",
    "cancel_reaches_shards_of_an_earlier_run",
    "shard_that_continues_as_new_keeps_its_results",
    "approval_goes_on_through_its_port_with_the_word_that_decided",
    "rejection_goes_on_through_its_port",
    "quorum_counts_people_and_not_words",
    "time_that_runs_out_goes_on_through_its_port",
    "cancel_ends_an_approval_that_waits",
    "skip_of_an_approval_rejects",
    "each_pass_of_a_loop_asks_for_itself",
    "approvals_in_shards_take_words_from_the_parent_and_their_own-2",
    "approval_of_an_earlier_run_is_decided_in_a_later_one-2",
    "time_of_an_approval_is_carried_as_a_deadline",
    "node_over_a_budget_waits_and_runs_once_it_is_approved",
    "node_over_a_budget_fails_with_its_error_if_it_is_rejected",
    "skip_in_a_region_that_is_an_activity_leaves_its_neighbours_alone",
    "what_follows_a_node_that_is_skipped_while_its_region_runs_sees_the_given_output",
    "branch_that_is_cancelled_in_a_region_leaves_the_nodes_outside_it_alone",
    "each_fire_starts_one_execution_and_max_runs_ends_them",
    "a_fire_that_is_cancelled_while_it_waits_for_a_slot_does_not_begin_later",
    "document_that_asks_for_it_is_told_of_its_failure_once",
    "refused_delivery_is_tried_again_under_the_same_id_and_given_up_in_the_end",
    "random_graphs_end_as_the_reference_says_and_replay-20",
)


def patches() -> set[str]:
    """The ids of all patch markers in the interpreter's source."""
    found: set[str] = set()
    for module in pkgutil.iter_modules(engine.workflows.__path__, "engine.workflows."):
        loaded = importlib.import_module(module.name)
        for quote, name in PATCHED.findall(Path(loaded.__file__ or "").read_text("utf-8")):
            found.add(name if quote else str(getattr(loaded, name)))
    return found


@pytest.fixture(scope="session")
def histories() -> dict[str, WorkflowHistory]:
    return {name: read(path) for name, path in HISTORIES.items()}


@pytest.fixture(scope="session")
def contents(histories: dict[str, WorkflowHistory]) -> dict[str, Contents]:
    return {name: contents_of(history) for name, history in histories.items()}


@pytest.fixture
def converter(tmp_path: Path) -> DataConverter:
    return data_converter(ObjectStore.open(tmp_path.as_uri()))


async def test_every_history_replays(histories: dict[str, WorkflowHistory], converter: DataConverter) -> None:
    names = {history.run_id: name for name, history in histories.items()}
    assert len(names) == len(HISTORIES) > 60
    failures = await replay_failures(list(histories.values()), converter)
    assert {names[run_id]: failure for run_id, failure in failures.items()} == {}


@pytest.mark.parametrize("name", CONTROL_PATHS)
def test_every_control_path_has_a_history(name: str) -> None:
    assert name in HISTORIES, "add it: make histories"


def test_every_node_type_has_run_in_a_history(contents: dict[str, Contents]) -> None:
    known = {kind.type for kind in built_in_catalogue().types()}
    held = {one for found in contents.values() for one in found.node_types}
    assert len(known) >= 27
    assert known - held == set(), "give the type an example, then: make histories"


def test_every_way_of_the_interpreter_is_in_a_history(contents: dict[str, Contents]) -> None:
    held = {way for found in contents.values() for way in found.ways}
    assert WAYS - held == set(), "give the way a test, then: make histories"


@pytest.mark.parametrize("patch", sorted(patches()))
def test_both_sides_of_a_patch_marker_have_a_history(patch: str, contents: dict[str, Contents]) -> None:
    """One with the marker, and one that the same test made before it was there, or without it."""
    marked = {name for name, found in contents.items() if f"patch {patch}" in found.ways}
    assert marked, "give the new path a test, then: make histories"
    before = {_test_of(name) for name, found in contents.items() if f"patch {patch}" not in found.ways}
    assert {_test_of(name) for name in marked} & before


def _test_of(name: str) -> str:
    """The test that made a history: without its label and its number."""
    return re.sub(r"-\d+$", "", name.partition("@")[0])


async def test_history_that_another_interpreter_made_is_refused(converter: DataConverter) -> None:
    """The replay can fail: a history whose activity goes by another id does not fit."""
    path = HISTORIES["condition_takes_one_port"]
    tree = json.loads(path.read_text().replace('"activityId":"b#0"', '"activityId":"other#0"'))
    with pytest.raises(Exception, match=r"[Nn]ondeterminism"):
        await replayer_of(converter).replay_workflow(WorkflowHistory.from_json(tree.pop("workflowId"), tree))
