"""What a node receives is let go of once its outcome is on record, and goes back in every other case."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from engine.errors import NodeError
from engine.nodes.messaging.exchange import Broker, Delivery, Outgoing, Pull, Received
from models.repositories.node_executions import NodeExecutions
from tests.engine.activities.clients.brokers.sending import pull, queue_name
from tests.engine.workflows.lab import Lab, graph, pure
from tests.servers.rabbitmq import RabbitServer

pytestmark = pytest.mark.asyncio(loop_scope="session")
TAKE = {
    "id": "take",
    "type": "message_queue",
    "params": {"operation": "receive", "queue_name": "orders"},
    "credential": "broker",
}


class Watched:
    """A broker with one message, which notes how its receipt is settled, and `look`s before it is acknowledged."""

    def __init__(self) -> None:
        self.settled: list[str] = []
        self.look: Callable[[], Awaitable[Any]] | None = None
        self.seen: Any = None

    async def send(self, broker: Broker, message: Outgoing, *, timeout_s: float) -> None:
        raise AssertionError

    async def receive(self, broker: Broker, pull: Pull, *, timeout_s: float) -> Delivery:
        return Delivery([Received("id-1", b"hello", None, {}, None, None, False)], self)

    async def acknowledge(self) -> None:
        self.seen = None if self.look is None else await self.look()
        self.settled.append("acknowledge")

    async def release(self) -> None:
        if "acknowledge" not in self.settled:
            self.settled.append("release")


@pytest_asyncio.fixture(loop_scope="session")
async def brokers(lab: Lab) -> AsyncIterator[Watched]:
    path, ports = lab.stack.settings.credentials_file, lab.stack.runtime.ports
    path.write_text("broker: {type: connection, url: 'amqp://nowhere.invalid'}\n")
    path.chmod(0o600)
    real, watched = ports.brokers, Watched()
    ports.brokers = watched
    yield watched
    ports.brokers = real
    path.unlink()


@pytest.mark.parametrize("last", [True, False])
async def test_messages_are_acknowledged_after_their_outcome_is_committed(
    lab: Lab, brokers: Watched, last: bool
) -> None:
    repository = NodeExecutions(lab.stack.runtime.database)

    async def statuses() -> list[str]:
        rows = await repository.list(lab.tenant, lab.started[-1].id, after=None, limit=10)
        return [row.status for row in rows if row.node_path == "take"]

    brokers.look = statuses
    ended = await lab.run(graph(TAKE) if last else graph(TAKE, lab.call("then")))
    assert (await ended.output_of("take"))["messages"][0]["body"] == "hello"
    assert brokers.settled == ["acknowledge"]
    assert brokers.seen == ["success"]


async def test_messages_of_an_attempt_that_fails_afterwards_go_back(lab: Lab, brokers: Watched) -> None:
    assign = {"first": "{{ nodes.take.output.messages[7] }}"}
    ended = await lab.run({**graph({**TAKE, "assign": assign}), "variables": {"first": {"default": ""}}})
    assert ended.states() == {"take": "failed"}
    assert brokers.settled == ["release"]


async def test_acknowledgement_that_fails_leaves_the_outcome_as_it_is(lab: Lab, brokers: Watched) -> None:
    async def fail() -> None:
        raise NodeError("the connection broke", code="EXTERNAL_ERROR", retryable=True)

    brokers.look = fail
    ended = await lab.run(graph(TAKE))
    assert ended.states() == {"take": "success"}
    assert brokers.settled == ["release"]


async def test_messages_pass_from_one_workflow_to_another_by_a_real_broker(lab: Lab, rabbitmq: RabbitServer) -> None:
    queue, path = queue_name(), lab.stack.settings.credentials_file
    path.write_text(f"broker: {{type: connection, url: '{rabbitmq.url}'}}\n")
    path.chmod(0o600)
    send = {"operation": "send", "queue_name": queue, "message": {"total": "{{ input.total }}"}, "create": True}
    take = {"operation": "receive", "queue_name": queue, "wait": "5s"}
    try:
        sent = await lab.run(graph({**TAKE, "id": "send", "params": send}), {"total": 7})
        ended = await lab.run(
            graph({**TAKE, "params": take}, pure("total", "{{ nodes.take.output.messages[0].body }}"))
        )
        left = await lab.stack.runtime.ports.brokers.receive(  # pyright: ignore[reportOptionalMemberAccess]
            Broker(rabbitmq.url, trusted=True), pull(queue), timeout_s=5
        )
    finally:
        path.unlink()
    (message,) = (await ended.output_of("take"))["messages"]
    assert message["id"] == (await sent.output_of("send"))["message_id"]
    assert await ended.output() == {"total": {"total": 7}}
    assert left.messages == []
    assert "canary" not in ended.history.to_json() + repr(ended.all) + repr(sent.all)
