"""Replaying histories with the interpreter as it is now."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from temporalio.client import WorkflowHistory
from temporalio.converter import DataConverter
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

import worker


def replayer_of(converter: DataConverter) -> Replayer:
    return Replayer(workflows=worker.WORKFLOWS, workflow_runner=UnsandboxedWorkflowRunner(), data_converter=converter)


async def replay_failures(histories: Sequence[WorkflowHistory], converter: DataConverter) -> dict[str, str]:
    """What went wrong, by the run id of the history; empty if every history replays."""

    async def given() -> AsyncIterator[WorkflowHistory]:
        for history in histories:
            yield history

    results = await replayer_of(converter).replay_workflows(given(), raise_on_replay_failure=False)
    return {run_id: str(failure) for run_id, failure in results.replay_failures.items()}
