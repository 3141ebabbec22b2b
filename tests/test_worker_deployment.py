"""Worker deployments: what a worker reports of its build, and what Temporal makes of it."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import ValidationError
from temporalio.api.enums.v1 import VersioningBehavior as Behavior
from temporalio.common import VersioningBehavior

import worker
from engine.activities.clients.deployments import Build, builds_of, make_current
from engine.errors import ConfigurationError
from engine.settings import Settings, load_settings
from engine.settings.work import WorkerSettings
from structforge.cli.main import run
from tests.engine.workflows.lab import Lab, Stack, graph, pure


def test_worker_is_versioned_only_if_the_fleet_is_named() -> None:
    plain = worker.deployment_of(WorkerSettings(), versioned=True)
    assert not plain.use_worker_versioning
    assert plain.version.build_id == worker.interpreter_build_id()
    named = worker.deployment_of(WorkerSettings(deployment_name="fleet", build_id="b1"), versioned=True)
    assert (named.version.deployment_name, named.version.build_id) == ("fleet", "b1")
    assert named.use_worker_versioning
    assert named.default_versioning_behavior is VersioningBehavior.PINNED


def test_worker_of_nodes_alone_serves_every_build() -> None:
    assert not worker.deployment_of(WorkerSettings(deployment_name="fleet"), versioned=False).use_worker_versioning


@pytest.mark.parametrize("name", ["a.b", "a:b", "a b", "-a", "x" * 101])
@pytest.mark.parametrize("setting", ["deployment_name", "build_id"])
def test_name_that_temporal_could_not_tell_apart_is_refused(setting: str, name: str, tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path)
    with pytest.raises(ValidationError):
        settings.override({"worker": {setting: name}})


@pytest.mark.parametrize("arguments", [["list"], ["set-current"], ["drained", "b1"]])
@pytest.mark.usefixtures("_only_embedded")
def test_fleet_without_a_name_has_no_builds(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["deployment", *arguments]) == 2
    assert "STRUCTFORGE_WORKER__DEPLOYMENT_NAME" in capsys.readouterr().err


@pytest.mark.asyncio(loop_scope="session")
async def test_execution_is_pinned_to_the_build_that_is_current(stack: Stack) -> None:
    client, name = stack.runtime.temporal, f"fleet-{uuid4().hex[:8]}"
    assert await builds_of(client, name) == []
    with pytest.raises(ConfigurationError, match="cannot become current"):
        await make_current(client, name, "b1")
    settings = _named(stack.settings, name)
    lab = await Lab.open(Stack(settings, stack.runtime, stack.effects))
    async with worker.build_worker(settings, stack.runtime):

        async def known() -> bool:
            return await builds_of(client, name) == [Build("b1", "inactive")]

        await lab.eventually(known)
        await make_current(client, name, "b1")
        started = await lab.start(graph(pure("a", 1)))
        assert (await started.end()).status == "success"
        assert await builds_of(client, name) == [Build("b1", "current")]
        info = (await started.handle.describe()).raw_description.workflow_execution_info.versioning_info
    assert info.behavior == Behavior.VERSIONING_BEHAVIOR_PINNED
    assert (info.deployment_version.deployment_name, info.deployment_version.build_id) == (name, "b1")


def _named(settings: Settings, name: str) -> Settings:
    return settings.override({"worker": {"deployment_name": name, "build_id": "b1", "task_queue": name}})
