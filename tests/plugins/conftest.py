"""A worker with plugins, on the servers of the session, with task queues of its own."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

import worker
from engine.nodes.plugins.discovery import find_plugins
from engine.nodes.plugins.refreshing import describe_changed
from engine.nodes.registry import Catalogue
from engine.settings import Settings
from tests.engine.workflows.effects import Effects
from tests.engine.workflows.lab import Lab, Stack, open_stack
from tests.plugins.places import EXAMPLE, install_hostile, write_plugin

NODE_QUEUE = "plugins-test-nodes"
FAILING = '''
from structforge.plugin import NodeContext, NodeParams, NodeResult, node

class FailParams(NodeParams):
    """Fail."""

@node("clumsy.fail", category="data", kind="io", examples=[{"title": "x", "params": {}}])
async def fail(params: FailParams, context: NodeContext) -> NodeResult:
    raise KeyError("missing")
'''


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def plugin_settings(engine_servers: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings with a plugin folder: a hostile one, one in the worker, one on a queue of its own."""
    folder = tmp_path_factory.mktemp("plugins")
    await install_hostile(folder)
    shutil.copytree(EXAMPLE / "barcode", folder / "barcode")
    await describe_changed(folder)
    write_plugin(folder, "clumsy", code=FAILING)
    write_plugin(folder, "apart", manifest=f'task_queue = "{NODE_QUEUE}"\n')
    changes = {
        "plugins": {"folder": folder},
        "worker": {"task_queue": "plugins-test", "routes": {"http": NODE_QUEUE}, "graceful_shutdown_s": 0},
    }
    return engine_servers.override(changes)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def plugin_stack(plugin_settings: Settings, effects: Effects) -> AsyncIterator[Stack]:
    async with open_stack(plugin_settings, effects) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def plugin_lab(plugin_stack: Stack) -> Lab:
    return await Lab.open(plugin_stack)


@pytest_asyncio.fixture(loop_scope="session")
async def node_worker(plugin_stack: Stack) -> AsyncIterator[None]:
    """A worker that serves the nodes' queue alone."""
    async with worker.build_worker(plugin_stack.settings, plugin_stack.runtime, queue=NODE_QUEUE):
        yield


@pytest.fixture
def example_folder(tmp_path: Path) -> Path:
    """A copy of the plugin folder of the examples."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "examples"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def hostile_catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """The types of the hostile plugin."""
    folder = tmp_path_factory.mktemp("hostile")
    await install_hostile(folder)
    return Catalogue([], find_plugins(folder))
