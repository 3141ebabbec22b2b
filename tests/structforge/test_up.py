"""`structforge up` as a person runs it: one process that brings everything, and takes everything with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import psutil
import pytest
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from structforge.devstack import find_running
from tests.structforge.devstack.conftest import FREE_PORTS, eventually, open_folder

ROOT = Path(__file__).parents[2]
READY_TIMEOUT_S = 180


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with open_folder() as path:
        yield path


def environment(data_dir: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("STRUCTFORGE_")}
    inherited.pop("TEMPORAL_ADDRESS", None)
    ports = {f"STRUCTFORGE_EMBEDDED__{name.upper()}": str(port) for name, port in FREE_PORTS.items()}
    patience = {"STRUCTFORGE_EMBEDDED__START_TIMEOUT_S": "180"}
    return inherited | ports | patience | {"STRUCTFORGE_DATA_DIR": str(data_dir), "STRUCTFORGE_API__PORT": "0"}


@contextlib.asynccontextmanager
async def up(data_dir: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, list[str]]]:
    """A ready `structforge up` and the lines it printed until then."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "structforge", "up"),
        cwd=ROOT,
        env=environment(data_dir),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout
        lines: list[str] = []
        async with asyncio.timeout(READY_TIMEOUT_S):
            while not (lines and lines[-1].startswith("ready ")):
                line = (await process.stdout.readline()).decode()
                assert line, lines
                lines.append(line.strip())
        yield process, lines
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait_for(process.wait(), 60)


def runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def family(process: asyncio.subprocess.Process) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


async def gone(processes: list[psutil.Process], timeout_s: float) -> None:
    async def none_run() -> bool:
        return not any(runs(process) for process in processes)

    await eventually(none_run, timeout_s)


async def test_up_serves_and_sigterm_ends_everything_within_five_seconds(data_dir: Path) -> None:
    async with up(data_dir) as (process, lines):
        url = lines[-1].removeprefix("ready ")
        async with httpx2.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{url}/readyz")).status_code == 200
        await a_worker_polls(process, lines)
        key = data_dir / "api-key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert key.read_text().strip() not in "\n".join(lines)
        assert f"data_dir = {data_dir}" in lines
        running = find_running(data_dir)
        assert running is not None
        assert (running.pid, running.api_url) == (process.pid, url)
        await refuses_a_second_start(data_dir, process.pid, url)
        await starts_a_killed_worker_again(process)

        everything = family(process)
        began = time.monotonic()
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0  # 5 s, and a loaded machine
        await gone(everything, 10 - (time.monotonic() - began))
    assert find_running(data_dir) is None


async def a_worker_polls(process: asyncio.subprocess.Process, lines: list[str]) -> None:
    """Who is told `ready` starts executions, so a worker must be there to run them."""
    printed = dict(line.split(" = ", 1) for line in lines if " = " in line)
    client = await Client.connect(printed["temporal.address"], namespace=printed["temporal.namespace"])
    asked = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=printed["worker.task_queue"]),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    pollers = (await client.workflow_service.describe_task_queue(asked)).pollers
    assert {int(poller.identity.rpartition(":")[2]) for poller in pollers} <= {one.pid for one in family(process)}
    assert pollers


async def refuses_a_second_start(data_dir: Path, pid: int, url: str) -> None:
    second = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "structforge", "up"),
        cwd=ROOT,
        env=environment(data_dir),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(second.communicate(), 120)
    # Without line breaks, for the terminal may fold the message.
    text = "".join(output.decode().split())
    assert second.returncode != 0
    assert "alreadyrunning" in text
    assert f"pid{pid}" in text
    assert url in text
    assert "Traceback" not in text


async def starts_a_killed_worker_again(process: asyncio.subprocess.Process) -> None:
    def workers() -> list[int]:
        return [child.pid for child in psutil.Process(process.pid).children() if child.cmdline()[-1:] == ["worker"]]

    (old,) = workers()
    os.kill(old, signal.SIGKILL)

    async def replaced() -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            return len(workers()) == 1 and workers() != [old]
        return False

    await eventually(replaced)


async def test_kill_9_of_up_leaves_nothing_behind(data_dir: Path) -> None:
    async with up(data_dir) as (process, _):
        everything = family(process)
        assert len(everything) >= 6  # three servers, API, worker, scheduler
        process.kill()
        await process.wait()
        await gone(everything, 20)
    assert find_running(data_dir) is None
