"""Nodes that crash, run out of memory or return 50 MB fail in at most three tries, and their neighbours finish."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

from models.repositories.executions import Executions
from models.repositories.node_executions import NodeExecutions
from tests.faults.examination import ends, examine
from tests.faults.examination import examine_kept as kept
from tests.faults.graph import document
from tests.faults.installation import CREDENTIAL, Installation, Tenancy, running_installation
from tests.faults.load import Load
from tests.faults.results import Result
from tests.faults.row import Order, Row, Size, share
from tests.plugins.places import install_hostile, write_plugin

MOST_TRIES = 3
LARGE_BYTES = 50_000_000
NEIGHBOURS = 20
CRASHES, LARGE = "crashes", "large"  # plugins, and the task queues whose workers run them
_CODE = '''
import os
import signal
from structforge.plugin import NodeContext, NodeParams, NodeResult, node

class DeedParams(NodeParams):
    """Do something bad."""

@node("{name}.crash", category="tool", kind="io", examples=[{{"title": "x", "params": {{}}}}])
async def crash(params: DeedParams, context: NodeContext) -> NodeResult:
    os.kill(os.getpid(), signal.SIGKILL)
    return NodeResult(None)

@node("{name}.give", category="tool", kind="io", examples=[{{"title": "x", "params": {{}}}}])
async def give(params: DeedParams, context: NodeContext) -> NodeResult:
    return NodeResult({{"text": "x" * {size}}})
'''
_SCRIPT = "kept = []\nwhile True:\n    kept.append('x' * 1000000)"
# What is done, and which codes the failure may have; a deed without codes may succeed too.
DEEDS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "crash of a worker": ({"type": f"{CRASHES}.crash"}, {"EXECUTION_FAILED"}),
    "crash of a plugin's process": ({"type": "hostile.act", "params": {"deed": "segfault"}}, {"EXECUTION_FAILED"}),
    "memory of a plugin's process": ({"type": "hostile.act", "params": {"deed": "leak"}}, {"RESOURCE_EXHAUSTED"}),
    "memory of a script": ({"type": "script", "params": {"script_code": _SCRIPT}}, {"RESOURCE_EXHAUSTED"}),
    "50 MB of output": ({"type": f"{LARGE}.give"}, {"RESOURCE_EXHAUSTED", "OUTPUT_TOO_LARGE", "success"}),
}


async def run(order: Order) -> Result:
    result = order.result()
    plugins = order.data_dir / "plugins"
    plugins.mkdir(parents=True, mode=0o700)
    for name in (CRASHES, LARGE):
        code = _CODE.format(name=name, size=LARGE_BYTES)
        write_plugin(plugins, name, code=code, manifest=f'task_queue = "{name}"\n')
    await install_hostile(plugins)
    async with running_installation(order.data_dir, queues=(CRASHES, LARGE)) as installation:
        began = time.monotonic()
        bad, beside = await installation.open_tenancy(), await installation.open_tenancy()
        loads = {deed: await _load(bad, node) for deed, (node, _) in DEEDS.items()}
        neighbour = Load(beside, await beside.publish(document(installation.effects.url, credential=CREDENTIAL)))
        for number, load in enumerate(loads.values()):
            load.start(share(order.size.executions, number + 1, len(loads)))
        neighbour.start(NEIGHBOURS)
        for load in loads.values():
            await ends(installation, load, result)
        for deed, load in loads.items():
            await _as_they_should(installation, deed, load, result)
        await kept(installation, [_together(bad, loads)], result)
        result.executions = sum(len(load.answered) for load in loads.values())
        await examine(installation, neighbour, [], result)
        ended = {name: installation.processes[f"queue-{name}"].ends for name in (CRASHES, LARGE)}
        result.faults = sum(ended.values())
        result.figures["workers ended by their nodes"] = " ".join(f"{name}:{count}" for name, count in ended.items())
        result.took_s = time.monotonic() - began
    return result


async def _load(tenancy: Tenancy, node: dict[str, Any]) -> Load:
    nodes = [{"id": "start", "type": "manual"}, {"id": "bad", **node}]
    kind = node["type"].replace(".", "-") + "-" + str(node.get("params", {}).get("deed", ""))
    spec = {
        "name": kind,
        "nodes": nodes,
        "edges": [{"source": "start", "target": "bad"}],
        "outputs": {"done": "{{ 1 }}"},
    }
    return Load(tenancy, await tenancy.publish(spec))


def _together(tenancy: Tenancy, loads: dict[str, Load]) -> Load:
    whole = Load(tenancy, UUID(int=0))
    for load in loads.values():
        whole.answered |= load.answered
        whole.problems += load.problems
    return whole


async def _as_they_should(installation: Installation, deed: str, load: Load, result: Result) -> None:
    codes: set[str] = set()
    for one in load.answered:
        execution = await Executions(installation.database).get(load.tenancy.tenant, one)
        rows = await NodeExecutions(installation.database).list(load.tenancy.tenant, one)
        row = next(row for row in rows if row.node_path == "bad")
        codes.add("success" if row.status == "success" else str((row.error or {}).get("code")))
        if max(row.attempts, row.lost) > MOST_TRIES:
            result.violations.append(f"{deed}: {one} took {row.attempts} attempts and {row.lost} workers")
        if execution.status != ("success" if row.status == "success" else "failed"):
            result.violations.append(f"{deed}: {one} is {execution.status}, and its node is {row.status}")
    result.figures[deed] = f"{len(load.answered)}: {' '.join(sorted(codes))}"
    if not codes <= DEEDS[deed][1]:
        result.violations.append(f"{deed}: ended with {sorted(codes)} and may end with {sorted(DEEDS[deed][1])}")


ROW = Row("bad-nodes", "a node that crashes, runs out of memory, returns 50 MB", Size(50, 1), Size(500, 1), 5, run)
