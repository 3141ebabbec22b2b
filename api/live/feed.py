"""One client's stream: looks into PostgreSQL when there is something new, and tells it in order.

The client is never ahead of what it has taken: nothing is gathered for it but the page that it is being sent, and a
few pieces of partial text. A client that reads slowly is behind, and one that hardly reads is cut off.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar
from uuid import UUID

from api.live.hub import Listener, LiveStreams
from api.live.messages import Told, end, message_of_change, message_of_hint, message_of_line, reset
from engine.activities.clients.redis_events import Hint
from engine.activities.clients.redis_live import named
from engine.errors import AccessDenied, NotFound, SystemFault, Unauthenticated
from models.change_cursor import ChangeCursor
from models.repositories.grants import Sight
from models.repositories.live import Change, Live, Watched
from models.session import Database
from models.tenancy import TenantId

HEARTBEAT_S = 15.0
LOOK_EVERY_S = 2.0  # while Redis tells of changes: it may have lost one
LOOK_ALONE_EVERY_S = 0.5  # without Redis
SHORTEST_PAUSE_S = 0.05
PAUSE_BY_LOOK = 9  # a look that took 10 ms is followed by a pause of 90 ms: a stream costs a tenth of a connection
CHECK_ACCESS_EVERY_S = 5.0
SETTLED_S = 1.0  # workers write lines a moment after what they tell of
PATIENCE_S = 30.0  # without PostgreSQL
SLOW_S = 10.0  # a message that was taken so slowly was the last one
PAGE = 500
Name = TypeVar("Name")
Value = TypeVar("Value")
MAX_REMEMBERED = 5000


@dataclass(slots=True)
class Feed:
    """What a stream tells. `check` gives what its reader may see now, or raises that it may not read any more."""

    streams: LiveStreams
    database: Database
    tenant: TenantId
    watched: Watched
    cursor: ChangeCursor
    check: Callable[[], Awaitable[Sight]]
    lasts_s: float
    page: int = PAGE
    check_every_s: float = CHECK_ACCESS_EVERY_S
    slow_s: float = SLOW_S
    _known: OrderedDict[UUID, bool] = field(default_factory=OrderedDict[UUID, bool], init=False)  # whether it is over
    _ended: OrderedDict[tuple[UUID, str], None] = field(default_factory=OrderedDict[tuple[UUID, str], None], init=False)
    _over: bool = field(default=False, init=False)
    _more: bool = field(default=False, init=False)

    async def messages(self) -> AsyncGenerator[Told | None]:
        """Messages to the end of the stream, the last one `end`; None is a sign of life."""
        loop = asyncio.get_running_loop()
        with self.streams.listening(self.tenant, self.watched.execution_id) as listener:
            told = self._told(listener)
            try:
                async for message in told:
                    asked = loop.time()
                    yield message
                    if loop.time() - asked > self.slow_s:
                        yield end("too_slow", "messages were taken too slowly")
                        return
            finally:
                await told.aclose()

    async def _told(self, listener: Listener) -> AsyncGenerator[Told | None]:
        loop = asyncio.get_running_loop()
        stops_at, checked_at = loop.time() + self.lasts_s, loop.time()
        alive_at = answered_at = loop.time()
        while True:
            listener.changed = False
            begun = loop.time()
            try:
                async for message in self._news():
                    alive_at = loop.time()
                    yield message
                answered_at = loop.time()
            except SystemFault:
                if loop.time() - answered_at > PATIENCE_S:
                    yield end("fault", "the record is out of reach")
                    return
            took = loop.time() - begun
            if self._over:
                yield end("finished")
                return
            next_look = loop.time() + (0 if self._more else max(SHORTEST_PAUSE_S, PAUSE_BY_LOOK * min(took, 1.0)))
            look_by = max(next_look, loop.time() + self._interval_s)
            while loop.time() < next_look or not (listener.changed or self._more or loop.time() >= look_by):
                if self.streams.stopping or loop.time() >= stops_at:
                    break
                until = next_look if listener.changed or self._more else look_by
                await listener.wait(min(until, stops_at, alive_at + HEARTBEAT_S) - loop.time())
                for text in self._texts(listener.take_texts()):
                    alive_at = loop.time()
                    yield text
                if loop.time() - alive_at >= HEARTBEAT_S:
                    alive_at = loop.time()
                    yield None
            if self.streams.stopping:
                yield end("stopping", "this server stops: come back")
                return
            if loop.time() >= stops_at:
                yield end("time")
                return
            if loop.time() - checked_at >= self.check_every_s:
                checked_at = loop.time()
                if (refused := await self._refused()) is not None:
                    yield refused
                    return

    @property
    def _interval_s(self) -> float:
        return LOOK_EVERY_S if self.streams.hears(self.tenant) else LOOK_ALONE_EVERY_S

    async def _refused(self) -> Told | None:
        try:
            sight = await self.check()
            self.watched = replace(self.watched, sight=sight)
            if self.watched.execution_id is None and self._known:
                seen = await Live(self.database).visible(self.tenant, self.watched, list(self._known))
                for execution_id in self._known.keys() - seen:
                    del self._known[execution_id]
        except Unauthenticated as refused:
            return end("access", refused.message, resume=True)
        except (AccessDenied, NotFound) as refused:
            return end("access", refused.message)
        except SystemFault:
            return None  # nobody can say; the record is asked again soon
        return None

    # ---- what has changed

    async def _news(self) -> AsyncGenerator[Told]:
        live = Live(self.database)
        async for message in self._lines(live):
            yield message
        async with self.streams.looks:
            found = await live.changes(self.tenant, self.watched, self.cursor, limit=self.page)
        self._more = found.more
        if found.lost:
            self.cursor = ChangeCursor(log_seq=self.cursor.log_seq)
            yield reset()
        for change in found.changes:
            if self._waits_for_lines(change):
                async for message in self._last_lines(live):
                    yield message
            behind = change.cursor.with_log(self.cursor.log_seq)
            message = self._message(Change(behind, change.values))
            self.cursor = behind
            if message is not None:
                yield message
        self.cursor = found.cursor.with_log(self.cursor.log_seq)
        self._over = self.watched.execution_id is not None and not found.any_open and not found.more

    def _message(self, change: Change) -> Told | None:
        execution_id = change.values["id"]
        message = message_of_change(change)
        if message is None:
            return None
        if change.is_execution:
            over = message.event == "execution.finished"
            if over and self._known.get(execution_id):
                return None  # its row was touched afterwards
            _remember(self._known, execution_id, over)
        else:
            _remember(self._known, execution_id, self._known.get(execution_id, False))
            name = (execution_id, named(*change.node))
            if message.event == "node.finished":
                _remember(self._ended, name, None)
            else:
                self._ended.pop(name, None)  # the execution tries once more
        return message

    def _waits_for_lines(self, change: Change) -> bool:
        is_own_end = change.is_execution and change.values["finished_at"] is not None
        return self.watched.execution_id is not None and self.watched.lines is not None and is_own_end

    async def _last_lines(self, live: Live) -> AsyncGenerator[Told]:
        await asyncio.sleep(SETTLED_S)
        async for message in self._lines(live):
            yield message

    async def _lines(self, live: Live) -> AsyncGenerator[Told]:
        if self.watched.lines is None:
            return
        while True:
            async with self.streams.looks:
                lines = await live.lines(self.tenant, self.watched, self.cursor, limit=self.page)
            for line in lines:
                self.cursor = line.cursor
                yield message_of_line(line)
            if len(lines) < self.page:
                return

    def _texts(self, hints: Sequence[Hint]) -> list[Told]:
        """Pieces of text of nodes that this stream may show, and that have not ended in it."""
        if not self.watched.nodes:
            return []
        shown = [hint for hint in hints if self._shows(hint)]
        return [message for hint in shown if (message := message_of_hint(hint)) is not None]

    def _shows(self, hint: Hint) -> bool:
        is_ours = self.watched.execution_id is not None or hint.execution_id in self._known
        return is_ours and (hint.execution_id, hint.node) not in self._ended


def _remember(known: OrderedDict[Name, Value], name: Name, value: Value) -> None:
    known[name] = value
    known.move_to_end(name)
    if len(known) > MAX_REMEMBERED:
        known.popitem(last=False)
