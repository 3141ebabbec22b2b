"""The pool's own work, on a broker that fails as it is told."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Self

import pytest

from engine.activities.clients.brokers.pool import BrokerPool
from engine.activities.clients.brokers.targets import Target
from engine.errors import NodeError
from engine.nodes.messaging.exchange import Broker, Delivery, Outgoing, Pull, Received
from engine.nodes.outbound.addresses import HttpPolicy
from tests.engine.activities.clients.brokers.sending import outgoing, pull

PASSWORD = "pool-canary-3391"


class Broken(Exception):
    pass


class FakeLink:
    """A link that notes what happens to it; `fail` is what `send` raises."""

    faults: ClassVar[tuple[type[Exception], ...]] = (Broken,)
    deduplicates: ClassVar[bool] = False
    opened: ClassVar[list[FakeLink]] = []
    fail: ClassVar[Exception | None] = None
    hang: ClassVar[bool] = False

    def __init__(self) -> None:
        self.alive = True
        self.closed = asyncio.Event()
        self.calls: list[str] = []

    @classmethod
    async def open(cls, target: Target) -> Self:
        link = cls()
        cls.opened.append(link)
        return link

    async def prepare(self, *, sending: bool) -> None:
        if not self.alive:
            raise Broken("gone")

    async def send(self, message: Outgoing) -> None:
        if self.hang:
            await asyncio.Event().wait()
        if self.fail is not None:
            raise self.fail

    async def receive(self, pull: Pull) -> Delivery:
        return Delivery([Received("1", b"", None, {}, None, None, False)], self)

    async def acknowledge(self) -> None:
        self.calls.append("acknowledge")
        if self.fail is not None:
            raise self.fail

    async def release(self) -> None:
        self.calls.append("release")

    async def close(self) -> None:
        self.closed.set()


class Deduplicating(FakeLink):
    deduplicates: ClassVar[bool] = True


def pool_of(kind: type[FakeLink] = FakeLink, *, fail: Exception | None = None, hang: bool = False, **more: float
            ) -> BrokerPool:  # fmt: skip
    kind.opened, kind.fail, kind.hang = [], fail, hang

    def load() -> type[FakeLink]:
        return kind

    loaders = dict.fromkeys(("rabbitmq", "redis", "nats", "kafka"), load)
    return BrokerPool(HttpPolicy(), loaders=loaders, **more)  # pyright: ignore[reportArgumentType]


def broker(host: str = "a.example") -> Broker:
    return Broker(f"amqp://user:{PASSWORD}@{host}", trusted=True)


async def failure(pool: BrokerPool, message: Outgoing, timeout_s: float = 5) -> NodeError:
    with pytest.raises(NodeError) as caught:
        await pool.send(broker(), message, timeout_s=timeout_s)
    assert PASSWORD not in repr(caught.value.as_dict())
    return caught.value


async def test_connection_that_breaks_while_sending_leaves_the_outcome_unknown() -> None:
    async with pool_of(fail=Broken(f"login with {PASSWORD}")) as pool:
        error = await failure(pool, outgoing("q"))
        assert (error.code, error.retryable) == ("OUTCOME_UNKNOWN", False)
        assert pool.links == 0


@pytest.mark.parametrize(("kind", "repeatable"), [(FakeLink, True), (Deduplicating, False)])
async def test_it_may_be_sent_again_where_that_does_no_harm(kind: type[FakeLink], repeatable: bool) -> None:
    async with pool_of(kind, fail=Broken("reset")) as pool:
        error = await failure(pool, outgoing("q", repeatable=repeatable))
        assert (error.code, error.retryable) == ("EXTERNAL_ERROR", True)


async def test_no_confirmation_in_time_leaves_the_outcome_unknown() -> None:
    async with pool_of(hang=True) as pool:
        error = await failure(pool, outgoing("q"), timeout_s=0.05)
        assert (error.code, error.retryable, error.details["outcome"]) == ("TIMEOUT", False, "unknown")
        again = await failure(pool, outgoing("q", repeatable=True), timeout_s=0.05)
        assert (again.code, again.retryable) == ("TIMEOUT", True)


async def test_refusal_by_the_broker_keeps_the_link() -> None:
    async with pool_of(fail=NodeError(f"no queue for {PASSWORD}", code="EXTERNAL_ERROR")) as pool:
        error = await failure(pool, outgoing("q"))
        assert error.message == "no queue for [redacted]"
        assert pool.links == 1


async def test_link_that_died_in_between_is_replaced_before_anything_is_sent() -> None:
    async with pool_of() as pool:
        await pool.send(broker(), outgoing("q"), timeout_s=5)
        FakeLink.opened[0].alive = False
        await pool.send(broker(), outgoing("q"), timeout_s=5)
        assert len(FakeLink.opened) == 2
        await asyncio.wait_for(FakeLink.opened[0].closed.wait(), 20)


async def test_idle_link_is_closed_and_one_in_use_is_not() -> None:
    async with pool_of(idle_s=0.01) as pool:
        delivery = await pool.receive(broker(), pull("q"), timeout_s=5)
        await pool.send(broker("b.example"), outgoing("q"), timeout_s=5)
        held, idle = FakeLink.opened
        await asyncio.wait_for(idle.closed.wait(), 20)
        assert not held.closed.is_set()
        assert delivery.receipt is not None
        await delivery.receipt.release()
        await asyncio.wait_for(held.closed.wait(), 20)
        assert pool.links == 0


async def test_links_are_bounded_and_an_unused_one_makes_room() -> None:
    async with pool_of(max_links=1) as pool:
        await pool.send(broker(), outgoing("q"), timeout_s=5)
        delivery = await pool.receive(broker("b.example"), pull("q"), timeout_s=5)
        await asyncio.wait_for(FakeLink.opened[0].closed.wait(), 20)
        error = await failure(pool, outgoing("q"))
        assert (error.code, error.retryable) == ("RESOURCE_EXHAUSTED", True)
        assert delivery.receipt is not None
        await delivery.receipt.acknowledge()
        await pool.send(broker(), outgoing("q"), timeout_s=5)


async def test_receipt_is_settled_once_and_a_failed_acknowledgement_gives_back() -> None:
    async with pool_of() as pool:
        for settle, calls in ((_acknowledge, ["acknowledge"]), (_release, ["release"])):
            delivery = await pool.receive(broker(), pull("q"), timeout_s=5)
            await settle(delivery)
            await settle(delivery)
            assert FakeLink.opened[0].calls == calls
            FakeLink.opened[0].calls.clear()
        FakeLink.fail = Broken("reset")
        delivery = await pool.receive(broker(), pull("q"), timeout_s=5)
        with pytest.raises(NodeError):
            await _acknowledge(delivery)
        assert FakeLink.opened[0].calls == ["acknowledge", "release"]


async def _acknowledge(delivery: Delivery) -> None:
    assert delivery.receipt is not None
    await delivery.receipt.acknowledge()


async def _release(delivery: Delivery) -> None:
    assert delivery.receipt is not None
    await delivery.receipt.release()


async def test_closing_the_pool_closes_every_link() -> None:
    pool = pool_of()
    await pool.receive(broker(), pull("q"), timeout_s=5)
    await pool.aclose()
    assert FakeLink.opened[0].closed.is_set()


@pytest.mark.parametrize("timeout_s", [0.05])
async def test_waiting_for_a_link_that_another_opens_ends_in_time(timeout_s: float) -> None:
    class Slow(FakeLink):
        @classmethod
        async def open(cls, target: Target) -> Self:
            await asyncio.Event().wait()
            raise AssertionError

    async with pool_of(Slow) as pool:
        sends = [pool.send(broker(), outgoing("q"), timeout_s=timeout_s) for _ in range(3)]
        errors = await asyncio.gather(*sends, return_exceptions=True)
        assert [(error.code, error.retryable) for error in errors if isinstance(error, NodeError)] == [
            ("TIMEOUT", True)
        ] * 3
