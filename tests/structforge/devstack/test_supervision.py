"""Starts and deaths: nothing outlives its supervisor, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import stat
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from engine.errors import ConfigurationError
from engine.settings import load_settings
from structforge.devstack import EmbeddedStack, find_running
from structforge.devstack.process import Command, start
from tests.structforge.devstack.conftest import FREE_PORTS, eventually, remove_folder, settings_for

ROOT = Path(__file__).parents[3]


@contextlib.asynccontextmanager
async def served(data_dir: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.structforge.devstack.serving", str(data_dir)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout
        line = await asyncio.wait_for(process.stdout.readline(), 180)
        yield process, json.loads(line)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait_for(process.wait(), 60)


async def said_up(log: Path) -> None:
    async def seen() -> bool:
        return log.exists() and "up" in log.read_text()  # noqa: ASYNC240

    await eventually(seen)


def runs(pid: int) -> bool:
    # A process that nobody has waited for yet is dead all the same.
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def none_run(family: list[psutil.Process]) -> bool:
    return not any(runs(member.pid) for member in family)


def tree(root: int) -> list[psutil.Process]:
    return psutil.Process(root).children(recursive=True)


async def test_sigterm_ends_everything_within_five_seconds(data_dir: Path) -> None:
    async with served(data_dir) as (process, note):
        family = tree(process.pid)
        assert {member.pid for member in family} >= set(note["pids"].values())
        began = time.monotonic()
        process.terminate()
        await process.wait()
        await eventually(lambda: none_run(family), 10 - (time.monotonic() - began))  # 5 s, and a loaded machine
    assert process.returncode == 0
    assert find_running(data_dir) is None


async def test_kill_9_leaves_nothing_running_and_loses_no_data(data_dir: Path) -> None:
    async with served(data_dir) as (process, note):
        connection = await asyncpg.connect(note["owner_url"])
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
        family = tree(process.pid)
        process.kill()
        await process.wait()
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            await connection.close(timeout=1)
        await eventually(lambda: none_run(family), 20)
    async with served(data_dir) as (_, note):
        connection = await asyncpg.connect(note["owner_url"])
        assert await connection.fetchval("SELECT n FROM kept") == 42
        await connection.close()


async def test_start_right_after_kill_9_waits_for_the_dying_servers(data_dir: Path) -> None:
    async with served(data_dir) as (process, first):
        process.kill()
        await process.wait()
        async with served(data_dir) as (_, second):
            assert not any(runs(pid) for pid in first["pids"].values())
            assert len(second["pids"]) == 3


async def test_external_url_turns_its_embedded_server_off(data_dir: Path) -> None:
    settings = load_settings(
        data_dir=data_dir,
        embedded=FREE_PORTS,
        redis={"url": "redis://127.0.0.1:1/0"},
        temporal={"address": "127.0.0.1:2"},
    )
    stack = EmbeddedStack(settings)
    async with stack as endpoints:
        assert set(stack.pids) == {"postgres"}
        assert endpoints.redis_url == "redis://127.0.0.1:1/0"
        assert endpoints.temporal_address == "127.0.0.1:2"
        assert endpoints.temporal_ui_url is None


async def test_folder_closed_to_others_works_and_stays_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    settings = settings_for(closed / "data").override({"redis": {"url": "redis://x"}, "temporal": {"address": "x:1"}})
    try:
        for _ in range(2):
            async with EmbeddedStack(settings) as endpoints:
                connection = await asyncpg.connect(endpoints.owner_url)
                await connection.execute("CREATE TABLE IF NOT EXISTS kept (n int); INSERT INTO kept VALUES (1)")
                rows = await connection.fetchval("SELECT count(*) FROM kept")
                await connection.close()
        assert rows == 2
        assert stat.S_IMODE(os.stat(closed).st_mode) == 0o700
    finally:
        remove_folder(closed)


async def test_wanted_port_that_is_taken_is_named(data_dir: Path) -> None:
    taken = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    settings = settings_for(data_dir).override({"embedded": {"postgres_port": port}})
    async with taken:
        with pytest.raises(ConfigurationError, match=f"STRUCTFORGE_EMBEDDED__POSTGRES_PORT: port {port} is in use"):
            async with EmbeddedStack(settings):
                pass


async def test_server_that_cannot_start_is_reported_with_its_own_words(data_dir: Path) -> None:
    (data_dir / "valkey").mkdir(parents=True)
    (data_dir / "valkey" / "appendonlydir").write_text("not a folder")
    elsewhere = {"database": {"url": "postgresql://x/y"}, "temporal": {"address": "x:1"}}
    with pytest.raises(ConfigurationError, match=r"(?s)valkey ended while starting.*append-only"):
        async with EmbeddedStack(settings_for(data_dir).override(elsewhere)):
            pass
    assert find_running(data_dir) is None


WATCHED = """
import asyncio, pathlib, sys
from structforge.devstack.process import Command, start
async def main():
    argv = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
    child = await start(Command("probe", argv, pathlib.Path(sys.argv[1])), watchdog=True)
    print(child.pid, flush=True)
    await child.wait()
asyncio.run(main())
"""


async def test_watchdog_ends_its_command_when_the_parent_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "probe.log"
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WATCHED, str(log)), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout
    watchdog = psutil.Process(int(await parent.stdout.readline()))
    await said_up(log)
    family = [watchdog, *watchdog.children()]
    assert len(family) == 2
    parent.kill()
    await parent.wait()
    await eventually(lambda: none_run(family), 20)


async def test_command_that_ignores_its_signal_is_killed_with_its_children(tmp_path: Path) -> None:
    script = "trap '' TERM; sleep 600 & echo up; wait; sleep 600"
    child = await start(Command("stubborn", ["/bin/sh", "-c", script], tmp_path / "log"))
    await said_up(tmp_path / "log")
    family = [psutil.Process(child.pid), *tree(child.pid)]
    assert len(family) == 2
    await child.stop(0.2)
    assert child.process.returncode == -signal.SIGKILL
    await eventually(lambda: none_run(family))


async def test_unwritable_data_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="STRUCTFORGE_DATA_DIR"):
        async with EmbeddedStack(settings_for(tmp_path / "file" / "data")):
            pass
    assert os.listdir(tmp_path) == ["file"]
