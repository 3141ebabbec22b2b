"""Short forms for the tests of broker clients."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from engine.activities.clients.brokers import BrokerPool
from engine.nodes.messaging.exchange import Broker, Delivery, Outgoing, Pull


def queue_name() -> str:
    return f"orders-{uuid4().hex[:10]}"


def outgoing(queue: str, number: int = 1, **more: Any) -> Outgoing:
    fields: dict[str, Any] = {
        "queue": queue,
        "message_id": f"id-{number}",
        "body": b'{"n":%d}' % number,
        "content_type": "application/json",
        "headers": {"source": "shop"},
        "create": True,
    }
    return Outgoing(**{**fields, **more})


def pull(queue: str, consumer: str = "first", **more: Any) -> Pull:
    fields: dict[str, Any] = {"group": "readers", "max_messages": 10, "wait_s": 0.0, "max_bytes": 1000, "create": True}
    return Pull(queue=queue, consumer=consumer, **{**fields, **more})


class Client:
    """A pool and the one broker that it is asked for."""

    def __init__(self, pool: BrokerPool, url: str) -> None:
        self.pool = pool
        self.broker = Broker(url, trusted=True)

    async def send(self, message: Outgoing, timeout_s: float = 30) -> None:
        await self.pool.send(self.broker, message, timeout_s=timeout_s)

    async def receive(self, request: Pull, timeout_s: float = 30) -> Delivery:
        return await self.pool.receive(self.broker, request, timeout_s=timeout_s)

    async def ids(self, request: Pull, timeout_s: float = 30) -> list[str | None]:
        """Ids of what is received, which is acknowledged."""
        delivery = await self.receive(request, timeout_s)
        if delivery.receipt is not None:
            await delivery.receipt.acknowledge()
        return [message.id for message in delivery.messages]
