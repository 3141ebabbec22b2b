"""The object store fills up: nodes fail with a typed error, nothing refers to what is not there, and room helps.

The store is a folder on a file system of 2 MB of its own, which takes a superuser to make.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from engine.errors import RESOURCE_EXHAUSTED
from models.repositories.executions import Executions
from models.repositories.node_executions import NodeExecutions
from tests.faults.examination import ends, examine_kept
from tests.faults.installation import Installation, running_installation
from tests.faults.load import Load
from tests.faults.results import Result
from tests.faults.row import Order, Row, Size

SMALL, LARGE = "2m", "2g"
OUTPUT_BYTES = 150_000


async def run(order: Order) -> Result:
    result = order.result()
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None:
        result.skipped = "needs Linux and the right to mount a file system"
        return result
    folder = order.data_dir / "objects"
    folder.mkdir(parents=True, mode=0o700)
    await _mount(folder, SMALL)
    try:
        async with running_installation(order.data_dir) as installation:
            began = time.monotonic()
            await _fill(installation, folder, order, result)
            result.took_s = time.monotonic() - began
    finally:
        await _call("umount", "--lazy", str(folder))
    return result


async def _fill(installation: Installation, folder: Path, order: Order, result: Result) -> None:
    tenancy = await installation.open_tenancy()
    load = Load(tenancy, await tenancy.publish(document()))
    load.start(order.size.executions)
    await ends(installation, load, result)
    failed = await _outcomes(installation, load, result)
    if not failed:
        result.violations.append("nothing failed, so the store was not full")
    await _call("mount", "-o", f"remount,size={LARGE}", str(folder))
    after = Load(tenancy, load.workflow)
    after.start(10)
    await ends(installation, after, result)
    if failed_after := await _outcomes(installation, after, result):
        result.violations.append(f"{failed_after} of 10 failed although there was room again")
    load.answered |= after.answered
    await examine_kept(installation, [load], result)
    result.executions, result.faults = len(load.answered), 1
    result.figures |= {"failed with a typed error": failed, "succeeded": len(load.answered) - failed}


def document() -> dict[str, Any]:
    """One local node and one that depends on it; each has an output past the limit of what is kept in a row."""
    text = f"{{{{ (str(input.n) + ',') * ({OUTPUT_BYTES} // 5) }}}}"
    nodes = [
        {"id": "start", "type": "manual"},
        {"id": "large", "type": "transform", "params": {"mapping": {"text": text}}},
        {"id": "again", "type": "transform", "params": {"mapping": {"twice": "{{ nodes.large.output.text + '!' }}"}}},
    ]
    edges = [{"source": "start", "target": "large"}, {"source": "large", "target": "again"}]
    return {"name": "large", "nodes": nodes, "edges": edges, "outputs": {"size": "{{ len(nodes.again.output.twice) }}"}}


async def _outcomes(installation: Installation, load: Load, result: Result) -> int:
    """How many failed; all others must have succeeded, and all that failed must say why."""
    failed = 0
    for execution_id in load.answered:
        row = await Executions(installation.database).get(load.tenancy.tenant, execution_id)
        if row.status == "success":
            continue
        failed += 1
        nodes = await NodeExecutions(installation.database).list(load.tenancy.tenant, execution_id)
        codes = {(node.error or {}).get("code") for node in nodes if node.status == "failed"}
        if row.status != "failed" or (codes or {(row.error or {}).get("code")}) != {RESOURCE_EXHAUSTED}:
            result.violations.append(f"{execution_id} is {row.status} with {codes} and {row.error}")
    return failed


async def _mount(folder: Path, size: str) -> None:
    await _call("mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "structforge-faults", str(folder))


async def _call(*argv: str) -> None:
    process = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    assert process.returncode == 0, f"{' '.join(argv)}: {said.decode()}"


ROW = Row("object-store-full", "object store full", Size(100, 1), Size(1000, 1), 1, run)
