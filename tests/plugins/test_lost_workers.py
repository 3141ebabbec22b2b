"""Plugins in worker processes of their own queue: the process dies, a supervisor starts it again, the node ends."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import psutil
import pytest

from engine.activities.node import MAX_LOST_WORKERS
from structforge.devstack.application import Application
from structforge.devstack.server import SupervisedServer
from tests.engine.workflows.lab import Lab, Stack, graph, open_stack, pure
from tests.plugins.places import install_hostile, write_plugin

pytestmark = pytest.mark.asyncio(loop_scope="session")
DEADLY = '''
import os
from structforge.plugin import NodeContext, NodeParams, NodeResult, node

class DeadlyParams(NodeParams):
    """Die."""

@node("deadly.exit", category="data", kind="io", examples=[{"title": "x", "params": {}}])
async def leave(params: DeadlyParams, context: NodeContext) -> NodeResult:
    os._exit(3)

@node("deadly.loop", category="data", kind="io", examples=[{"title": "x", "params": {}}])
async def loop(params: DeadlyParams, context: NodeContext) -> NodeResult:
    while True:
        pass
'''


@contextlib.asynccontextmanager
async def supervised(stack: Stack, queue: str) -> AsyncGenerator[SupervisedServer]:
    """`structforge worker --queues QUEUE`, started again whenever it ends."""
    server = SupervisedServer(
        Application(f"worker-{queue}", "worker", stack.settings, options=["--queues", queue]), 30, lambda: None
    )
    await server.start()
    try:
        yield server
    finally:
        await server.stop(2)


@pytest.mark.slow
async def test_worker_that_a_node_kills_again_and_again_fails_that_node_alone(stack: Stack, tmp_path: Path) -> None:
    """Three losses, each noticed after the heartbeat timeout of 10 s: about 45 s; both deeds go side by side."""
    for name in ("exits", "loops"):
        code = DEADLY.replace("deadly", name)
        write_plugin(tmp_path, name, code=code, manifest=f'task_queue = "{name}"\n')
    changes = {"plugins": {"folder": tmp_path}, "worker": {"task_queue": "deadly", "stuck_after_s": 2}}
    async with open_stack(stack.settings.override(changes), stack.effects) as opened, contextlib.AsyncExitStack() as up:
        lab = await Lab.open(opened)
        servers = [await up.enter_async_context(supervised(opened, name)) for name in ("exits", "loops")]
        deadly = [
            await lab.start(graph({"id": "a", "type": "exits.exit"})),
            await lab.start(graph({"id": "a", "type": "loops.loop", "timeout": "120s"})),
        ]
        assert (await lab.run(graph(pure("beside", 1)))).status == "success"
        for started in deadly:
            ended = await started.end(timeout_s=120)
            assert ended.status == "failed"
            assert (ended.nodes["a"].error or {})["code"] == "EXECUTION_FAILED"
            assert (ended.nodes["a"].error or {})["details"] == {"lost": MAX_LOST_WORKERS}
        assert [server.restarts for server in servers] == [MAX_LOST_WORKERS, MAX_LOST_WORKERS]


async def test_processes_of_a_plugin_end_with_their_worker(tmp_path: Path) -> None:
    """A worker that is killed cannot end its children; on Linux the kernel does."""
    source = await install_hostile(tmp_path)
    script = (
        "import asyncio, pathlib, sys\n"
        "from engine.nodes.plugins.manifest import read_manifest\n"
        "from engine.nodes.plugins.processes import PluginProcess\n"
        "async def main():\n"
        "    process = PluginProcess(read_manifest(pathlib.Path(sys.argv[1])))\n"
        "    await process.start()\n"
        "    print(process.pid, flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", script, str(source.path)]
    worker = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert worker.stdout is not None
    child = psutil.Process(int(await worker.stdout.readline()))
    worker.send_signal(signal.SIGKILL)
    await worker.wait()
    psutil.wait_procs([child], timeout=20)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
