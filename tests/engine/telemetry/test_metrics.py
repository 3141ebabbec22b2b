"""Metrics: the port they are shown at, tallies, and those that a good execution has no part in."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from engine.activities.clients.objects import ObjectStore
from engine.activities.launching import TemporalLink
from engine.activities.observability import observed
from engine.activities.observation import Observation
from engine.activities.sampling import Sampler
from engine.errors import ConfigurationError
from engine.nodes.registry import built_in_catalogue
from engine.settings import Settings
from engine.telemetry import metrics
from engine.telemetry.exposition import serving_metrics
from engine.telemetry.tally import CountTally, DurationTally
from models.ids import new_id
from models.repositories.tenants import Tenants
from models.repositories.totals import Totals
from models.rows import NodeRow
from models.session import Database
from models.tenancy import mint_tenant
from tests.models.fixtures import make_execution

session = pytest.mark.asyncio(loop_scope="session")


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


def test_a_process_shows_its_metrics_at_a_port_of_its_own() -> None:
    with serving_metrics("127.0.0.1", 0) as url:
        text = read(url)
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {"process_cpu_seconds", "process_resident_memory_bytes", "structforge_node_duration_seconds"} <= names
    assert "relayed_starts_created" not in text
    with pytest.raises(OSError, match="refused"):
        read(url)


def test_a_port_that_is_taken_is_said_by_its_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with (
            pytest.raises(ConfigurationError, match="STRUCTFORGE_METRICS__PORT"),
            serving_metrics("127.0.0.1", taken.getsockname()[1]),
        ):
            pass


def test_without_a_port_nothing_is_shown() -> None:
    assert Settings().metrics.port is None
    handlers = logging.getLogger().handlers[:]
    level = logging.getLogger().level
    with observed("worker", Settings()) as url:
        assert url is None
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)


def test_metrics_of_another_port_stand_beside_ours_while_it_answers() -> None:
    other = CollectorRegistry()
    CountTally("other_total", "Another.", (), other).add((), 3)
    with (
        serving_metrics("127.0.0.1", 0, registry=other) as beside,
        serving_metrics("127.0.0.1", 0, beside=beside, registry=CollectorRegistry()) as url,
    ):
        assert "other_total 3.0" in read(url)
    with serving_metrics("127.0.0.1", 0, beside=beside, registry=CollectorRegistry()) as url:
        assert read(url) == ""


def test_a_tally_counts_into_the_bucket_whose_end_is_not_below() -> None:
    registry = CollectorRegistry()
    tally = DurationTally("took_seconds", "Time.", ("type",), (0.1, 1), registry)
    for seconds in (0.05, 0.1, 0.5, 3):
        tally.observe(("a",), seconds)
    text = generate_latest(registry).decode()
    # 0.05 and 0.1 are within 0.1, 0.5 within 1, 3 beyond: 2, 3 and 4 added up; the sum is 3.65.
    assert 'took_seconds_bucket{le="0.1",type="a"} 2.0' in text
    assert 'took_seconds_bucket{le="1.0",type="a"} 3.0' in text
    assert 'took_seconds_bucket{le="+Inf",type="a"} 4.0' in text
    assert 'took_seconds_sum{type="a"} 3.65' in text
    assert tally.count(("a",)) == 4


def test_labels_out_of_their_set_are_other() -> None:
    assert metrics.known("manual", metrics.TRIGGERS) == "manual"
    assert metrics.known("x" * 1000, metrics.TRIGGERS) == "other"
    assert metrics.known("TIMEOUT", metrics.CODES) == "TIMEOUT"


def test_rows_are_counted_by_what_became_of_them() -> None:
    tenant, execution = mint_tenant(uuid4()), new_id()
    error = {"code": "TIMEOUT", "message": "late"}
    rows = [
        NodeRow(tenant, execution, "a", "http", "running"),
        NodeRow(tenant, execution, "a", "http", "retrying", error=error),
        NodeRow(tenant, execution, "a", "http", "failed", error=error, duration_ms=1500),
        NodeRow(tenant, execution, "b", "http", "pruned"),
    ]
    before = (
        metrics.NODE_RETRIES.counts.get(("http",), 0),
        metrics.NODE_ERRORS.counts.get(("http", "TIMEOUT"), 0),
        metrics.NODE_EXECUTIONS.counts.get(("http", "pruned"), 0),
        metrics.NODE_DURATION.count(("http",)),
    )
    Observation(built_in_catalogue()).rows(rows, 0.01)
    after = (
        metrics.NODE_RETRIES.counts["http",],
        metrics.NODE_ERRORS.counts["http", "TIMEOUT"],
        metrics.NODE_EXECUTIONS.counts["http", "pruned"],
        metrics.NODE_DURATION.count(("http",)),
    )
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1, 1, 1]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def database(engine_servers: Settings) -> AsyncIterator[Database]:
    assert engine_servers.database.url is not None
    opened = await Database.open(engine_servers.database.url.get_secret_value(), pool_size=3)
    yield opened
    await opened.close()


@session
async def test_the_installations_gauges_come_from_the_one_that_leads(
    database: Database, engine_servers: Settings
) -> None:
    assert engine_servers.temporal.address is not None
    link = TemporalLink(
        engine_servers.temporal.address, engine_servers.temporal.namespace, ObjectStore.open(engine_servers.objects_url)
    )
    first, second = (
        Sampler(database, link, engine_servers.temporal.namespace, ["nobody-serves-this"], name, 0.1)
        for name in ("one", "two")
    )
    metrics.LEADER.labels("metrics").set(0)
    tasks = [asyncio.create_task(one.run_forever()) for one in (first, second)]
    try:
        async with asyncio.timeout(20):
            while metrics.LEADER.labels("metrics")._value.get() != 1:  # noqa: ASYNC110 (a gauge tells nobody that it moves)
                await asyncio.sleep(0.05)
            while metrics.POLLERS.labels("nobody-serves-this", "workflow")._value.get() != 0:  # noqa: ASYNC110 (a gauge tells nobody that it moves)
                await asyncio.sleep(0.05)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert metrics.LEADER.labels("metrics")._value.get() == 0


@session
async def test_open_executions_of_all_tenants_are_counted_by_status(database: Database) -> None:
    tenant = mint_tenant(uuid4())
    await Tenants(database).ensure(tenant, f"t-{uuid4().hex[:8]}")
    for _ in range(3):
        await make_execution(database, tenant)
    found = await Totals(database).open()
    assert found.counts["pending"] >= 3
    assert found.oldest_pending_s > 0
    assert found.running_workflows >= 1


@session
async def test_statistics_of_a_time_hold_what_was_made_in_it(database: Database) -> None:
    tenant = mint_tenant(uuid4())
    await Tenants(database).ensure(tenant, f"t-{uuid4().hex[:8]}")
    for _ in range(3):
        await make_execution(database, tenant)
    now = datetime.now(UTC)
    totals = Totals(database)
    counted = await totals.counted(tenant, now - timedelta(hours=1), now + timedelta(minutes=1), most=100)
    assert (counted.total.count, sum(counted.by_status.values()), sum(counted.by_trigger.values())) == (3, 3, 3)
    assert sum(group.measures.count for group in counted.workflows) == 3
    newest = await totals.counted(tenant, now - timedelta(hours=1), now + timedelta(minutes=1), most=2)
    assert newest.total.count == 2
    earlier = await totals.counted(tenant, now - timedelta(hours=2), now - timedelta(hours=1), most=100)
    assert (earlier.total.count, earlier.oldest) == (0, None)
    stranger = await totals.counted(mint_tenant(uuid4()), now - timedelta(hours=1), now + timedelta(hours=1), most=9)
    assert stranger.total.count == 0


def test_a_step_of_a_tally_costs_less_than_a_hundredth_of_a_node() -> None:
    """A node in a region takes 100 µs and more; its three steps must stay below 1 % with a wide margin for CI."""
    row = NodeRow(mint_tenant(uuid4()), new_id(), "a", "transform", "success", duration_ms=1.0)
    observation = Observation(built_in_catalogue())
    rows = [row] * 1000
    best = min(_timed(lambda: observation.rows(rows, 0.01)) for _ in range(20))
    assert best / len(rows) < 20e-6


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
