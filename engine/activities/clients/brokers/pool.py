"""The broker client of a worker: links by credential, bounded in number, closed when they are idle."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

from engine.activities.clients.brokers.drivers import LOADERS, Loader
from engine.activities.clients.brokers.links import Link
from engine.activities.clients.brokers.targets import Kind, Target, guarded, parse_target
from engine.errors import EXTERNAL_ERROR, OUTCOME_UNKNOWN, RESOURCE_EXHAUSTED, TIMEOUT, NodeError
from engine.nodes.messaging.exchange import Broker, Delivery, Outgoing, Pull
from engine.nodes.outbound.addresses import HttpPolicy
from engine.nodes.receipt import Receipt

_CLOSE_S = 5.0
_ANSWER_S = 5.0
_SETTLE_S = 10.0


@dataclass(slots=True, eq=False)
class _Slot:
    """A link and who uses it. `link` is None until it is open, and again once it is known to be broken."""

    target: Target
    kind: type[Link]
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    link: Link | None = None
    users: int = 0
    idle: asyncio.TimerHandle | None = None


class BrokerPool:
    """Fulfils `engine.nodes.messaging.exchange.BrokerPort`; one for a process, closed at its end."""

    def __init__(
        self,
        policy: HttpPolicy,
        *,
        max_links: int = 100,
        idle_s: float = 60.0,
        loaders: Mapping[Kind, Loader] = LOADERS,
    ) -> None:
        self._policy = policy
        self._max_links = max_links
        self._idle_s = idle_s
        self._loaders = loaders
        self._kinds: dict[Kind, type[Link]] = {}
        self._slots: dict[str, _Slot] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    @property
    def links(self) -> int:
        """Links that are open."""
        return sum(slot.link is not None for slot in self._slots.values())

    async def aclose(self) -> None:
        """Close every link; what was received and not acknowledged goes back to its broker."""
        for slot in [*self._slots.values()]:
            self._close(slot)
        self._slots.clear()
        if self._closing:
            await asyncio.wait(self._closing)

    async def send(self, broker: Broker, message: Outgoing, *, timeout_s: float) -> None:
        """Return once the broker has confirmed that it holds the message.

        Raises: NodeError; see BrokerPort. A failure before anything was sent is retryable.
        """
        slot = await self._slot(broker)
        stage = _Stage(slot.target, timeout_s)
        async with _translated(stage, slot.kind.faults), self._lease(slot, broker, sending=True) as link:
            stage.begin(outcome_matters=not (message.repeatable or link.deduplicates))
            await link.send(message)

    async def receive(self, broker: Broker, pull: Pull, *, timeout_s: float) -> Delivery:
        """The messages, none if there are none within the wait.

        Raises: NodeError; see BrokerPort.
        """
        slot = await self._slot(broker)
        stage = _Stage(slot.target, timeout_s)
        async with _translated(stage, slot.kind.faults), self._lease(slot, broker, sending=False) as link:
            delivery = await link.receive(pull)
            if delivery.receipt is None:
                return delivery
            self._enter(slot)
            return replace(delivery, receipt=_Held(delivery.receipt, slot, self._leave))

    @asynccontextmanager
    async def _lease(self, slot: _Slot, broker: Broker, *, sending: bool) -> AsyncGenerator[Link]:
        """The slot's link, which has just answered; if a fault breaks it, it is thrown away."""
        self._enter(slot)
        try:
            link = await self._ready(slot, trusted=broker.trusted, sending=sending)
            try:
                yield link
            except slot.kind.faults:
                self._discard(slot, link)
                raise
        finally:
            self._leave(slot)

    async def _ready(self, slot: _Slot, *, trusted: bool, sending: bool) -> Link:
        async with slot.lock:
            if slot.link is not None and await self._answers(slot, slot.link, sending=sending):
                return slot.link
            target = slot.target if trusted else await guarded(slot.target, self._policy)
            link = slot.link = await slot.kind.open(target)
            try:
                await link.prepare(sending=sending)
            except BaseException:
                self._discard(slot, link)
                raise
            return link

    async def _answers(self, slot: _Slot, link: Link, *, sending: bool) -> bool:
        try:
            async with asyncio.timeout(_ANSWER_S):
                await link.prepare(sending=sending)
        except (*slot.kind.faults, TimeoutError):
            self._discard(slot, link)
            return False
        return True

    async def _slot(self, broker: Broker) -> _Slot:
        target = parse_target(broker)
        kind = self._kinds.get(target.kind)
        if kind is None:
            kind = self._kinds[target.kind] = await asyncio.to_thread(self._loaders[target.kind])
        # A credential that changes has another address here; the old link falls idle.
        key = hashlib.sha256(f"{broker.trusted}:{broker.url}".encode()).hexdigest()
        slot = self._slots.pop(key, None)
        if slot is None:
            self._make_room()
            slot = _Slot(target, kind)
        self._slots[key] = slot  # at the end: the last used is the last to go
        return slot

    def _make_room(self) -> None:
        if len(self._slots) < self._max_links:
            return
        unused = next((key for key, slot in self._slots.items() if slot.users == 0), None)
        if unused is None:
            raise NodeError(
                f"{self._max_links} brokers are in use by this worker already",
                code=RESOURCE_EXHAUSTED,
                retryable=True,
            )
        self._close(self._slots.pop(unused))

    def _enter(self, slot: _Slot) -> None:
        slot.users += 1
        if slot.idle is not None:
            slot.idle.cancel()
            slot.idle = None

    def _leave(self, slot: _Slot) -> None:
        slot.users -= 1
        if slot.users == 0:
            slot.idle = asyncio.get_running_loop().call_later(self._idle_s, self._expire, slot)

    def _expire(self, slot: _Slot) -> None:
        for key in [key for key, kept in self._slots.items() if kept is slot]:
            del self._slots[key]
        self._close(slot)

    def _discard(self, slot: _Slot, link: Link | None) -> None:
        """Throw a broken link away; the next one that needs it opens another."""
        if link is not None and slot.link is link:
            slot.link = None
            self._end(link)

    def _close(self, slot: _Slot) -> None:
        if slot.idle is not None:
            slot.idle.cancel()
            slot.idle = None
        self._discard(slot, slot.link)

    def _end(self, link: Link) -> None:
        task = asyncio.get_running_loop().create_task(_close_quietly(link))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class _Held:
    """A receipt that keeps its link in use, and is settled once."""

    def __init__(self, receipt: Receipt, slot: _Slot, leave: Callable[[_Slot], None]) -> None:
        self._receipt = receipt
        self._slot = slot
        self._leave = leave
        self._settled = False

    async def acknowledge(self) -> None:
        if self._settled:
            return
        try:
            async with asyncio.timeout(_SETTLE_S):
                await self._receipt.acknowledge()
        except (*self._slot.kind.faults, TimeoutError) as error:
            await self.release()
            raise _Stage(self._slot.target, _SETTLE_S).broken(error) from None
        self._settle()

    async def release(self) -> None:
        if self._settled:
            return
        self._settle()
        with contextlib.suppress(*self._slot.kind.faults, TimeoutError):
            async with asyncio.timeout(_SETTLE_S):
                await self._receipt.release()

    def _settle(self) -> None:
        self._settled = True
        self._leave(self._slot)


class _Stage:
    """How far an operation has come, which says what its failure means."""

    def __init__(self, target: Target, timeout_s: float) -> None:
        self.target = target
        self.timeout_s = timeout_s
        self._unknown = False

    def begin(self, *, outcome_matters: bool) -> None:
        self._unknown = outcome_matters

    def timed_out(self) -> NodeError:
        details: dict[str, Any] = {"timeout_s": self.timeout_s, "outcome": "unknown" if self._unknown else "none"}
        message = f"{self.target.name} did not answer within {self.timeout_s:g} s"
        return NodeError(message, code=TIMEOUT, details=details, retryable=not self._unknown)

    def broken(self, error: Exception) -> NodeError:
        name = self.target.name
        reason = self.target.redaction.text(str(error) or type(error).__name__)[:300]
        if self._unknown:
            message = f"the connection to {name} broke before the message was confirmed, it may be there: {reason}"
            return NodeError(message, code=OUTCOME_UNKNOWN, details={"host": name})
        return NodeError(
            f"no connection to {name}: {reason}", code=EXTERNAL_ERROR, details={"host": name}, retryable=True
        )


@asynccontextmanager
async def _translated(stage: _Stage, faults: tuple[type[Exception], ...]) -> AsyncGenerator[None]:
    """End in time, and turn what the driver raises into NodeErrors without secrets."""
    try:
        async with asyncio.timeout(stage.timeout_s):
            yield
    except NodeError as error:
        raise _redacted(error, stage.target) from None
    except TimeoutError:
        raise stage.timed_out() from None
    except faults as error:
        raise stage.broken(error) from None


def _redacted(error: NodeError, target: Target) -> NodeError:
    return NodeError(
        target.redaction.text(error.message),
        code=error.code,
        details=target.redaction.data(error.details),
        retryable=error.retryable,
        retry_after_s=error.retry_after_s,
    )


async def _close_quietly(link: Link) -> None:
    # A broken connection may fail to close in any way; nobody waits for it.
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_CLOSE_S):
            await link.close()
