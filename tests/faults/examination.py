"""The examination after a run: the invariants I1 to I8 on everything that the installation and its callers hold."""

from __future__ import annotations

from collections.abc import Iterable

from temporalio.service import RPCError

from engine.activities.clients.objects import ObjectStore
from engine.contracts import EXECUTION_WORKFLOW
from tests.faults.evidence import Evidence, gather
from tests.faults.installation import Installation
from tests.faults.invariants import violations
from tests.faults.kept_data import dangling_references, leaks, orphans, unanswered
from tests.faults.kill_workers import recovery_times
from tests.faults.load import Load, comes_true, settled
from tests.faults.results import Result

SETTLE_S = 240
VISIBLE_S = 30  # Temporal's lists follow what it did after a while
_OPEN = f"ExecutionStatus = 'Running' AND WorkflowType = '{EXECUTION_WORKFLOW}'"


async def examine(installation: Installation, load: Load, faults: list[float], result: Result) -> Evidence:
    """Wait for the ends of a load of `tests.faults.graph`, and put into `result` what it came to.

    `faults` are the moments from which recovery counts, in seconds since the epoch. Gives the evidence, for what else a
    row wants of it.
    """
    await ends(installation, load, result)
    calls = await installation.effects.calls()
    evidence = await gather(
        installation.database, installation.temporal, load.tenancy.tenant, dict(load.answered), calls
    )
    result.violations += violations(evidence)
    await examine_kept(installation, [load], result)
    result.executions += len(load.answered)
    result.faults += len(faults)
    result.recoveries_s += recoveries(evidence, load, faults)
    _count(evidence, load, result)
    return evidence


async def ends(installation: Installation, load: Load, result: Result) -> None:
    """Wait until every start is answered and every execution has ended, here and in Temporal."""
    await load.all_answered()
    if not await settled(installation.database, load.tenancy, SETTLE_S):
        result.violations.append(f"executions are still open {SETTLE_S} s after the last fault")
    await installation.serving()

    async def none_open() -> bool:
        try:
            return not [one async for one in installation.temporal.list_workflows(_OPEN)]
        except RPCError:
            return False

    await comes_true(none_open, VISIBLE_S)  # what is still open is for the invariants to name


async def examine_kept(installation: Installation, loads: Iterable[Load], result: Result) -> None:
    """I1, I5 and I8, which hold whatever the workflows were."""
    database, objects = installation.database, ObjectStore.open(installation.settings.objects_url)
    for load in loads:
        result.violations += load.problems
        tenant = load.tenancy.tenant
        result.violations += await unanswered(database, tenant, set(load.answered))
        result.violations += await orphans(database, tenant)
        result.violations += await dangling_references(database, tenant, objects)
    result.violations += await leaks(installation.settings, installation.canary, installation.tenancies)


def recoveries(evidence: Evidence, load: Load, faults: list[float]) -> list[float]:
    """For each fault, the seconds until an execution that was asked for after it had ended."""
    ended = [
        (load.asked_at[one.n], one.execution.finished_at.timestamp())
        for one in evidence.witnessed
        if one.execution.finished_at is not None
    ]
    found: list[float] = []
    for fault in faults:
        later = [finished for asked, finished in ended if asked >= fault]
        if later:
            found.append(round(min(later) - fault, 2))
    return found


def _count(evidence: Evidence, load: Load, result: Result) -> None:
    nodes = [node for one in evidence.witnessed for node in one.history.nodes]
    again = recovery_times(evidence.calls)
    repeated = len(evidence.calls) - len({call.key for call in evidence.calls})
    result.figures |= {
        "calls": len(evidence.calls),
        "calls cut off": sum(call.cut for call in evidence.calls),
        "effects repeated before their acknowledgement": repeated,
        "node activities tried again": sum(node.tries > 1 for node in nodes),
        "workflow tasks lost": sum(one.history.lost_workflow_tasks for one in evidence.witnessed),
        "longest wait from a cut call to the next (s)": round(max(again, default=0.0), 2),
        "answers to starts": " ".join(f"{name}:{count}" for name, count in sorted(load.answers.items())),
    }
