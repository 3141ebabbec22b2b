"""The README's first workflow, its Python program and its killed worker, on a real `structforge up`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from structforge.client import AsyncClient
from tests.docs.pages import ROOT, blocks
from tests.structforge.devstack.conftest import eventually, open_folder
from tests.structforge.test_up import environment, up

README = ROOT / "README.md"
ORDERS, COUNT = blocks(README, "yaml")[:2]
PASSES = 20


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as path:
        path.mkdir(mode=0o711)
        (path / "orders.yaml").write_text(ORDERS)
        (path / "count.yaml").write_text(COUNT.replace("delay: 1s", "delay: 200ms"))
        yield path


async def spoken(folder: Path, *words: str) -> str:
    """What a program says on stdout; it must succeed."""
    environ = environment(folder / ".structforge") | {"PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, cwd=folder, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 300)
    assert process.returncode == 0, err.decode()
    return out.decode()


async def structforge(folder: Path, *words: str) -> dict[str, Any]:
    """The last line of a command with --json."""
    return json.loads((await spoken(folder, "-m", "structforge", *words)).splitlines()[-1])


def workers(process: asyncio.subprocess.Process) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "structforge worker" in " ".join(command_of(child)[:4])]


def command_of(child: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.NoSuchProcess):  # it may end meanwhile
        return child.cmdline()
    return []


async def test_what_the_readme_says_happens(folder: Path) -> None:
    async with up(folder / ".structforge") as (process, lines):
        await says_what_the_readme_says(folder)
        url = lines[-1].removeprefix("ready ")
        await runs_the_program(folder, url)
        await survives_a_killed_worker(folder, url, process)


async def says_what_the_readme_says(folder: Path) -> None:
    promised = json.loads(blocks(README, "json")[0])
    assert json.loads(await spoken(folder, "-m", "structforge", "run", "orders.yaml")) == promised
    more = await structforge(folder, "run", "orders.yaml", "--input", '{"min_total": 50}', "--json")
    # Ada 120 + 300, Grace 80, which is over 50
    assert [(one["customer"], one["total"]) for one in more["output"]["customers"]] == [("Ada", 420), ("Grace", 80)]


async def runs_the_program(folder: Path, url: str) -> None:
    program = blocks(README, "python")[0]
    assert "http://127.0.0.1:8400" in program
    said = await spoken(folder, "-c", program.replace("http://127.0.0.1:8400", url))
    assert said.startswith("success {")
    assert "Grace" in said


async def survives_a_killed_worker(folder: Path, url: str, process: asyncio.subprocess.Process) -> None:
    counting = asyncio.create_task(structforge(folder, "run", "count.yaml", "--json"))
    async with AsyncClient(url, (folder / ".structforge" / "api-key").read_text().strip()) as client:
        await eventually(lambda: has_counted(client, 3), 180)
        (worker,) = workers(process)
        assert not counting.done()
        worker.kill()
        before = await counted(client)
        result = await counting
        after = await counted(client)
    assert (result["status"], result["output"]) == ("success", {"counted": list(range(1, PASSES + 1))})
    assert len(after) == PASSES
    assert {place: after[place] for place in before} == before  # when each pass ended: none ran again
    assert worker.pid not in [other.pid for other in workers(process)]


async def counted(client: AsyncClient) -> dict[tuple[int, ...], Any]:
    """When each pass of the count ended, by iteration."""
    counts = [one for one in (await client.list_executions()).items if one.workflow_name == "count"]
    nodes = (await client.list_nodes(counts[0].id, status="success")).items if counts else []
    return {tuple(node.iteration): node.finished_at for node in nodes if node.path.endswith(".second")}


async def has_counted(client: AsyncClient, passes: int) -> bool:
    return len(await counted(client)) >= passes
