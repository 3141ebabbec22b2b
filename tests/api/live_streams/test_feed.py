from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from api.live.feed import Feed
from api.live.hub import LiveStreams
from api.live.messages import Told
from api.live.response import LiveResponse
from api.resources import Resources
from engine.activities.clients.redis_live import Partial
from engine.errors import AccessDenied, Conflict, Unauthenticated
from models.change_cursor import ChangeCursor
from models.repositories.grants import EVERYTHING, Sight
from models.repositories.live import Live, Watched
from models.repositories.logs import LogLine, Logs
from models.repositories.node_executions import NodeExecutions
from models.rows import NodeRow
from models.tenancy import TenantId
from tests.api.conftest import document
from tests.models.fixtures import make_execution
from tests.models.server import free_port

pytestmark = pytest.mark.asyncio(loop_scope="session")
PATIENCE_S = 30


async def everything() -> Sight:
    return EVERYTHING


def feed_of(
    resources: Resources,
    tenant: TenantId,
    watched: Watched,
    cursor: ChangeCursor | None = None,
    check: Callable[[], Awaitable[Sight]] = everything,
    streams: LiveStreams | None = None,
    **more: Any,
) -> Feed:
    streams = streams or resources.streams
    return Feed(streams, resources.database, tenant, watched, cursor or ChangeCursor(), check, PATIENCE_S, **more)


async def told_by(feed: Feed) -> list[Told]:
    async with asyncio.timeout(PATIENCE_S), aclosing(feed.messages()) as messages:
        return [message async for message in messages if message is not None]


def row(tenant: TenantId, execution_id: UUID, path: str, status: str) -> NodeRow:
    return NodeRow(tenant, execution_id, path, "chat", status, attempts=1)


@asynccontextmanager
async def streams_of(redis_url: str | None) -> AsyncGenerator[LiveStreams]:
    streams = LiveStreams.open(redis_url)
    yield streams
    await streams.close()


@pytest.mark.parametrize("is_set", [True, False])
@pytest.mark.usefixtures("worker")
async def test_without_redis_the_record_is_looked_at_and_nothing_is_missing(
    resources: Resources, tenant: TenantId, api: httpx2.AsyncClient, is_set: bool
) -> None:
    started = await api.post("/executions", json={"document": document()})
    watched = Watched(UUID(started.json()["id"]))
    async with streams_of(f"redis://127.0.0.1:{free_port()}/0" if is_set else None) as streams:
        told = await told_by(feed_of(resources, tenant, watched, streams=streams))
    assert sorted(message.event for message in told if not message.event.endswith((".status", ".started"))) == [
        "end", "execution.finished", "node.finished", "node.finished",
    ]  # fmt: skip


@pytest.mark.usefixtures("worker")
async def test_lines_come_before_the_end_of_their_execution(
    resources: Resources, tenant: TenantId, api: httpx2.AsyncClient
) -> None:
    started = await api.post("/executions?mode=sync&wait_s=60", json={"document": document()})
    execution_id = UUID(started.json()["id"])
    await Logs(resources.database).append([LogLine(tenant, execution_id, "error", "last words")])
    told = await told_by(feed_of(resources, tenant, Watched(execution_id, lines="error")))
    assert [message.event for message in told if not message.event.startswith("node.")] == [
        "log", "execution.finished", "end",
    ]  # fmt: skip
    again = feed_of(resources, tenant, Watched(execution_id, lines="error"), ChangeCursor.parse(str(told[-2].id)))
    assert [message.event for message in await told_by(again)] == ["end"]


async def test_partial_text_is_shown_until_its_node_has_ended(resources: Resources, tenant: TenantId) -> None:
    execution_id = await make_execution(resources.database, tenant)
    live, nodes = resources.live, NodeExecutions(resources.database)
    assert live is not None
    seen: list[str] = []
    async with asyncio.timeout(PATIENCE_S):
        await nodes.write([row(tenant, execution_id, "ask", "running")])
        feed = feed_of(resources, tenant, Watched(execution_id))
        async with aclosing(feed.messages()) as messages:
            async for message in messages:
                if message is None or message.event == "execution.status":
                    continue
                seen.append(message.event)
                if message.event == "node.started":
                    while not resources.streams.hears(tenant):  # noqa: ASYNC110 (a state without an event)
                        await asyncio.sleep(0.01)
                    live.publish_partial(Partial(tenant, execution_id, "ask", (), 0, 1, 0, "Hel"))
                elif message.event == "node.partial":
                    assert (message.id, message.data.model_dump()["text"]) == (None, "Hel")
                    ended = row(tenant, execution_id, "ask", "success")
                    await nodes.write([ended])
                    live.publish_nodes([ended])
                elif message.event == "node.finished" and seen.count("node.finished") == 1:
                    live.publish_partial(Partial(tenant, execution_id, "ask", (), 0, 1, 3, "too late"))
                    other = row(tenant, execution_id, "next", "success")
                    await nodes.write([other])
                    live.publish_nodes([other])
                else:
                    break
    assert seen == ["node.started", "node.partial", "node.finished", "node.finished"]


@pytest.mark.parametrize(
    ("refusal", "resume"), [(AccessDenied("your grant is gone"), False), (Unauthenticated("the token is over"), True)]
)
async def test_who_may_not_read_any_more_is_told_so(
    resources: Resources, tenant: TenantId, refusal: Exception, resume: bool
) -> None:
    execution_id = await make_execution(resources.database, tenant)

    async def check() -> Sight:
        raise refusal

    told = await told_by(feed_of(resources, tenant, Watched(execution_id), check=check, check_every_s=0))
    assert told[-1].data.model_dump() == {"reason": "access", "resume": resume, "detail": str(refusal)}


async def test_a_tenants_stream_shows_only_what_its_reader_sees_now(resources: Resources, tenant: TenantId) -> None:
    cursor = await Live(resources.database).here(tenant)
    execution_id = await make_execution(resources.database, tenant)
    blind = feed_of(resources, tenant, Watched(sight=Sight(member=uuid4())), cursor)
    blind.lasts_s = 0
    assert [message.event for message in await told_by(blind)] == ["end"]
    seeing = feed_of(resources, tenant, Watched(), cursor)
    seeing.lasts_s = 0
    told = [message.data.model_dump().get("execution_id") for message in await told_by(seeing)]
    assert execution_id in told


async def test_a_server_that_stops_sends_its_clients_elsewhere(resources: Resources, tenant: TenantId) -> None:
    execution_id = await make_execution(resources.database, tenant)
    async with streams_of(None) as streams:
        reading = asyncio.create_task(told_by(feed_of(resources, tenant, Watched(execution_id), streams=streams)))
        await asyncio.sleep(0)
        streams.stop()
        told = await reading
    assert told[-1].data.model_dump()["reason"] == "stopping"
    assert told[-1].data.model_dump()["resume"] is True


async def test_a_client_that_takes_too_long_is_told_to_come_back(resources: Resources, tenant: TenantId) -> None:
    execution_id = await make_execution(resources.database, tenant)
    feed = feed_of(resources, tenant, Watched(execution_id), slow_s=0.001)
    events: list[str] = []
    async with asyncio.timeout(PATIENCE_S), aclosing(feed.messages()) as messages:
        async for message in messages:
            assert message is not None
            events.append(message.event)
            await asyncio.sleep(0.01)
    assert events == ["execution.status", "end"]


async def test_streams_of_a_key_and_of_a_tenant_are_bounded_and_places_come_back(tenant: TenantId) -> None:
    streams, mine, hers = LiveStreams(), uuid4(), uuid4()
    places = [streams.take_place(tenant, mine, of_tenant=3, of_key=2) for _ in range(2)]
    with pytest.raises(Conflict, match="key has 2 live streams"):
        streams.take_place(tenant, mine, of_tenant=3, of_key=2)
    places.append(streams.take_place(tenant, hers, of_tenant=3, of_key=2))
    with pytest.raises(Conflict, match="tenant has 3 live streams"):
        streams.take_place(tenant, hers, of_tenant=3, of_key=2)
    for place in places * 2:
        place.leave()
    assert streams.count == 0


async def test_a_client_that_takes_nothing_is_cut_off_and_its_place_given_back() -> None:
    left: list[bool] = []

    async def content() -> AsyncGenerator[bytes]:
        yield b"data: 1\n\n"

    async def never(_: object) -> None:
        await asyncio.Event().wait()

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    response = LiveResponse(content(), lambda: left.append(True), send_within_s=0.01)
    scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}}
    async with asyncio.timeout(PATIENCE_S):
        await response(scope, receive, never)  # pyright: ignore[reportArgumentType]  # plain functions do as well
    assert left == [True]
