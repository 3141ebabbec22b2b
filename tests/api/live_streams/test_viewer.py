"""A viewer whose connection breaks all the time, while Redis is flushed and the API is killed under it."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx2
import orjson
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from api.resources import Resources
from engine.settings import Settings
from models.repositories.node_executions import NodeExecutions
from models.tenancy import TenantId
from tests.api.conftest import KEY, document
from tests.api.live_streams.processes import ApiProcess

pytestmark = pytest.mark.asyncio(loop_scope="session")
RECONNECTS = 50


def graph(chains: int, segments: int, length: int, pause: str) -> dict[str, Any]:
    """Chains side by side; each segment is a durable pause and `length` local nodes behind it."""
    nodes: list[dict[str, Any]] = [{"id": "start", "type": "manual"}]
    edges: list[dict[str, str]] = []
    for chain in range(chains):
        before = "start"
        for number in range(segments * (length + 1)):
            name = f"c{chain}_{number}"
            if number % (length + 1) == 0:
                nodes.append({"id": name, "type": "delay", "params": {"delay": pause}})
            else:
                nodes.append({"id": name, "type": "transform", "params": {"mapping": {"n": number}}})
            edges.append({"source": before, "target": name})
            before = name
    return document(nodes=nodes, edges=edges, inputs={})


@pytest_asyncio.fixture(loop_scope="session")
async def process(settings: Settings) -> AsyncIterator[ApiProcess]:
    started = ApiProcess(settings)
    await started.start()
    yield started
    await started.end(signal.SIGKILL)


class Viewer:
    """Reads a few messages from each connection, and opens the next behind the last id that it has."""

    def __init__(self, url: str, seed: int) -> None:
        self._http = httpx2.AsyncClient(
            base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {KEY}"}, trust_env=False, timeout=30
        )
        self._chance = random.Random(seed)
        self.messages: list[tuple[str, str, dict[str, Any]]] = []
        self.connections = 0
        self.last_id = ""

    async def __aenter__(self) -> Viewer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    @property
    def is_over(self) -> bool:
        return bool(self.messages) and self.messages[-1][0] == "execution.finished"

    async def read(self, execution_id: str, most: int) -> None:
        """One connection, broken off after at most so many messages; none if nobody answers."""
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        kept = self._chance.randint(1, most)
        try:
            async with self._http.stream("GET", f"/executions/{execution_id}/events", headers=headers) as response:
                assert response.status_code == 200, await response.aread()
                self.connections += 1
                async for sent in httpx2.EventSource(response):
                    if sent.event == "end":
                        return
                    self.messages.append((sent.event, sent.id, orjson.loads(sent.data)))
                    self.last_id = sent.id
                    kept -= 1
                    if kept == 0:
                        return
        except httpx2.TransportError:
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("shape", "most", "restarts"),
    [
        ((4, 7, 6, "100ms"), 5, 1),
        pytest.param((5, 40, 9, "150ms"), 8, 5, marks=pytest.mark.slow),
    ],
)
async def test_a_viewer_misses_nothing_and_is_told_nothing_twice(
    process: ApiProcess,
    api: httpx2.AsyncClient,
    resources: Resources,
    settings: Settings,
    tenant: TenantId,
    shape: tuple[int, int, int, str],
    most: int,
    restarts: int,
) -> None:
    started = await api.post("/executions", json={"document": graph(*shape)})
    assert started.status_code == 202, started.text
    execution_id = started.json()["id"]
    total = 1 + shape[0] * shape[1] * (shape[2] + 1)
    assert settings.redis.url is not None
    redis = Redis.from_url(settings.redis.url.get_secret_value())

    async with Viewer(process.url, seed=3) as viewer, asyncio.timeout(120):
        faults = [total * (number + 1) // (2 * restarts + 2) for number in range(2 * restarts)]
        while not viewer.is_over:
            await viewer.read(execution_id, most)
            if faults and len(viewer.messages) >= faults[0]:
                faults.pop(0)
                if len(faults) % 2:
                    await redis.flushall()
                else:
                    await process.end(signal.SIGKILL)
                    await process.start()
    await redis.aclose()

    assert viewer.connections > RECONNECTS
    assert faults == []
    rows = await NodeExecutions(resources.database).list(tenant, UUID(execution_id), limit=10_000)
    told = [data for event, _, data in viewer.messages if event == "node.finished"]
    assert len(rows) == total
    assert sorted((one["path"], one["status"]) for one in told) == sorted((row.node_path, row.status) for row in rows)
    assert Counter(event for event, _, _ in viewer.messages)["execution.finished"] == 1
    ids = [message_id for _, message_id, _ in viewer.messages]
    assert len(set(ids)) == len(ids)
    assert await _answer_behind(viewer, process.url, execution_id) == 204


async def _answer_behind(viewer: Viewer, url: str, execution_id: str) -> int:
    """Nothing is left to tell, and browsers are told not to come back."""
    headers = {"Authorization": f"Bearer {KEY}", "Last-Event-ID": viewer.last_id}
    async with httpx2.AsyncClient(base_url=url, headers=headers, trust_env=False) as client:
        return (await client.get(f"/api/v1/executions/{execution_id}/events")).status_code
