"""Pages of lists and searches, and one more execution, over what is on record: how long they take, through the API."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from statistics import median, quantiles

import asyncpg
import httpx2
from rich.console import Console

from api.app import create_app, open_first_resources
from benchmarks.stand import PORTS, scratch_folder
from benchmarks.stored import DAYS, NODES, Stored, begin, explain, fill
from engine.dag.digest import add_digests
from engine.settings import load_settings
from models.repositories.executions import Executions, NewExecution
from models.repositories.node_executions import NodeExecutions
from models.repositories.tenants import FIRST_TENANT
from models.rows import Finish, NodeRow
from models.session import Database, plain_url
from models.tenancy import mint_tenant
from structforge.up import running_servers

BAR_MS = 50.0  # of the 95th percentile of a page
ROUNDS = 40
KEY = "sf_the-key-of-the-benchmarks"
# In place of plans; only parts that ran count, and a partition that was pruned is not even named.
_LEAF = re.compile(r"(?:Scan|scan)[^\n]*? on (\w+_shared\w*)(?: \w+)?(?! *\(never executed\))")
_GET = "SELECT * FROM execution WHERE tenant_id = $1 AND id = $2"
_NODES = "SELECT * FROM node_execution WHERE tenant_id = $1 AND execution_id = $2 ORDER BY node_path LIMIT 100"
_LOG = "SELECT * FROM execution_log WHERE tenant_id = $1 AND execution_id = $2 AND seq > 0 ORDER BY seq LIMIT 100"

Row = dict[str, float | str]


async def measure_stored(console: Console, totals: Sequence[int]) -> list[Row]:
    """For each total of executions on record: p50 and p95 of every page in ms, one more, and the partitions."""
    rows: list[Row] = []
    async with _opened() as (database, owner_url, client):
        stored = await begin(database, mint_tenant(FIRST_TENANT))
        for total in totals:
            began = time.perf_counter()
            await fill(database, stored, total, most=totals[-1])
            await _settle(owner_url)
            console.print(f"  {total:,} executions on record after {time.perf_counter() - began:.0f} s")
            row: Row = {"stored": total}
            for name, query in _pages(stored):
                row |= await _timed(name, _ask(client, query))
            row |= await _timed("one more execution", lambda: _one_more(database, stored))
            row |= await _pruned(database, stored)
            rows.append(row)
    return rows


@asynccontextmanager
async def _opened() -> AsyncGenerator[tuple[Database, str, httpx2.AsyncClient]]:
    """Servers, and the API in this process."""
    with scratch_folder() as folder:
        ports = {**dict.fromkeys(PORTS, 0), "redis_port": 0}
        settings = load_settings(data_dir=folder / "data", embedded=ports, api={"port": 0, "key": KEY})
        async with (
            running_servers(settings) as endpoints,
            open_first_resources(endpoints.settings) as resources,
            httpx2.AsyncClient(
                transport=httpx2.ASGITransport(create_app(endpoints.settings, resources)),
                base_url="http://structforge/api/v1",
                headers={"Authorization": f"Bearer {KEY}"},
                timeout=60,
            ) as client,
        ):
            yield resources.database, endpoints.owner_url, client


def _pages(stored: Stored) -> list[tuple[str, str]]:
    late = (datetime.now(UTC) + timedelta(days=DAYS - 1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    workflow = stored.workflows[3]
    return [
        ("list", "/executions?limit=50"),
        ("list, oldest first", "/executions?limit=50&sort=created"),
        ("list of a workflow", f"/executions?limit=50&workflow_id={workflow}"),
        ("failed ones", "/executions?limit=50&status=failed"),
        ("failed ones of a workflow", f"/executions?limit=50&status=failed&workflow_id={workflow}"),
        ("running ones", "/executions?limit=50&status=running,pending"),
        ("by a label", "/executions?limit=50&label=batch=b3"),
        ("of a person", "/executions?limit=50&started_by=person%207"),
        ("created on the last day", f"/executions?limit=50&created_from={late}&trigger=webhook"),
        ("the longest", "/executions?limit=50&sort=-duration"),
        ("ended last", "/executions?limit=50&sort=-finished"),
        ("nodes", f"/executions/{stored.last}/nodes?limit=100"),
        ("log by text", f"/executions/{stored.last}/logs?text=order%20777&limit=100"),
    ]


def _ask(client: httpx2.AsyncClient, query: str) -> Callable[[], Awaitable[object]]:
    async def ask() -> None:
        answer = await client.get(query)
        if answer.status_code != 200:
            raise RuntimeError(f"{query}: {answer.status_code} {answer.text[:300]}")

    return ask


async def _timed(name: str, work: Callable[[], Awaitable[object]]) -> Row:
    taken: list[float] = []
    for number in range(ROUNDS + 8):  # the first plans of a prepared statement are made anew each time
        began = time.perf_counter()
        await work()
        if number >= 8:
            taken.append((time.perf_counter() - began) * 1000)
    return {f"{name}, p50": median(taken), f"{name}, p95": quantiles(taken, n=20, method="inclusive")[18]}


async def _one_more(database: Database, stored: Stored) -> None:
    """Open an execution, record its nodes and close it, in the transactions that the product uses."""
    new = NewExecution(
        workflow_id=stored.workflows[0], version_id=stored.versions[0], workflow_name="stored", node_total=NODES
    )
    await Executions(database).create_execution(stored.tenant, new)
    now = datetime.now(UTC)
    rows = [
        NodeRow(stored.tenant, new.id, f"n{number}", "transform", "success", started_at=now, finished_at=now)
        for number in range(NODES)
    ]
    end = Finish(stored.tenant, new.id, "success", NODES, add_digests([row.digest for row in rows]), now)
    await NodeExecutions(database).write(rows, finishes=[end])


async def _pruned(database: Database, stored: Stored) -> Row:
    """How many partitions a look at one execution touches; `no` if it is more than one."""
    row: Row = {}
    for name, query in (("execution", _GET), ("node executions", _NODES), ("log", _LOG)):
        plan = await explain(database, stored.tenant, query, stored.tenant.uuid, stored.last)
        row[f"pruned: {name}"] = "yes" if len(leaves_of(plan)) == 1 else "no"
    return row


def leaves_of(plan: str) -> set[str]:
    """Partitions that a plan has really read."""
    return {match[1] for line in plan.splitlines() if "never executed" not in line for match in _LEAF.finditer(line)}


async def _settle(owner_url: str) -> None:
    """What autovacuum does sooner or later."""
    connection = await asyncpg.connect(plain_url(owner_url))
    try:
        for table in ("execution", "node_execution", "execution_log"):
            await connection.execute(f"VACUUM ANALYZE {table}")
    finally:
        await connection.close()
