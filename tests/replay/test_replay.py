"""Every recorded history replays with the interpreter as it is now: executions that run survive an upgrade."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

import worker
from engine.activities.clients.objects import ObjectStore
from engine.activities.clients.temporal import data_converter

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))
# One name for each control path; a history of it must be there, whatever else is.
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
)


@pytest_asyncio.fixture
async def replayer(tmp_path: Path) -> AsyncIterator[Replayer]:
    yield Replayer(
        workflows=worker.WORKFLOWS,
        workflow_runner=UnsandboxedWorkflowRunner(),
        data_converter=data_converter(ObjectStore.open(tmp_path.as_uri())),
    )


def history_of(path: Path) -> WorkflowHistory:
    tree: dict[str, Any] = json.loads(path.read_text())
    return WorkflowHistory.from_json(tree.pop("workflowId"), tree)


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_history_replays(path: Path, replayer: Replayer) -> None:
    await replayer.replay_workflow(history_of(path))


@pytest.mark.parametrize("name", CONTROL_PATHS)
def test_every_control_path_has_a_history(name: str) -> None:
    assert any(path.stem == name for path in HISTORIES), "record the histories: make histories"


async def test_history_that_another_interpreter_made_is_refused(replayer: Replayer) -> None:
    """The replay can fail: a history whose activity goes by another id does not fit."""
    text = next(path for path in HISTORIES if '"activityId":"first#0"' in path.read_text()).read_text()
    tree = json.loads(text.replace('"activityId":"first#0"', '"activityId":"other#0"'))
    with pytest.raises(Exception, match=r"[Nn]ondeterminism"):
        await replayer.replay_workflow(WorkflowHistory.from_json(tree.pop("workflowId"), tree))
