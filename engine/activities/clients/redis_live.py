"""The live view in Redis: what runs at this moment, for whoever watches.

`sf:{tenant}:execution:{id}` is a hash of the execution's `status` and the number of its nodes by status (`n:success`,
...); `sf:{tenant}:execution:{id}:nodes` holds each node's status, so that counting a repeated outcome twice is
impossible. `sf:{tenant}:events` is a stream of all changes, bounded: an entry names an `execution` and its `status`, or
its `nodes` (a line each of `path[iteration]#generation status`), or the `partial` text that one `node` has so far.
Losing Redis costs liveness and never data: every failure here is counted and logged, and the work goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from models.rows import STATUS_RANK, TERMINAL_EXECUTION_STATUSES, TERMINAL_RANK, NodeRow
from models.tenancy import TenantId

KEEP_FINISHED_S = 24 * 3600
KEEP_RUNNING_S = 7 * 24 * 3600  # what a lost process left behind goes away too
STREAM_LENGTH = 10_000
MAX_WAITING = 20_000
GATHER_S = 0.05
_BATCH = 500
_log = logging.getLogger(__name__)

# KEYS: hash, nodes, stream. ARGV: execution, seconds to keep, stream length, and the nodes as one text, for an argument
# each costs more here and there than all the rest: key, status, precedence, apart by US, each node ended by RS. An
# outcome that is not newer than the known one changes nothing.
_NODES_SCRIPT = """
if redis.call('HEXISTS', KEYS[1], 'finished') == 1 then return 0 end
local names, statuses, precedences = {}, {}, {}
for name, status, precedence in string.gmatch(ARGV[4], '([^\\31\\30]+)\\31(%a+)\\31(%d+)\\30') do
    names[#names + 1], statuses[#statuses + 1], precedences[#precedences + 1] = name, status, precedence
end
local found, known, counts, changed, events = redis.call('HMGET', KEYS[2], unpack(names)), {}, {}, {}, {}
for i, name in ipairs(names) do
    local old = known[name] or found[i]
    local old_status, old_precedence
    if old then old_status, old_precedence = string.match(old, '^(%a+):(.*)$') end
    if not old or precedences[i] > old_precedence then
        if old_status then counts[old_status] = (counts[old_status] or 0) - 1 end
        counts[statuses[i]] = (counts[statuses[i]] or 0) + 1
        known[name] = statuses[i] .. ':' .. precedences[i]
        changed[#changed + 1] = name
        changed[#changed + 1] = known[name]
        events[#events + 1] = name .. ' ' .. statuses[i]
    end
end
if #changed > 0 then
    redis.call('HSET', KEYS[2], unpack(changed))
    for status, count in pairs(counts) do redis.call('HINCRBY', KEYS[1], 'n:' .. status, count) end
    redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[3], '*', 'execution', ARGV[1], 'nodes', table.concat(events, '\\n'))
end
redis.call('HSETNX', KEYS[1], 'status', 'running')
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[2])
return 1
"""


@dataclass(frozen=True, slots=True)
class LiveExecution:
    """What the live view knows of an execution; `nodes` counts node executions by status."""

    status: str
    nodes: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Status:
    tenant: TenantId
    execution_id: UUID
    status: str


@dataclass(frozen=True, slots=True)
class Partial:
    """A piece of text that a running node has so far; `offset` counts the characters of its attempt before it."""

    tenant: TenantId
    execution_id: UUID
    node_path: str
    iteration: tuple[int, ...]
    generation: int
    attempt: int
    offset: int
    text: str


_Change = NodeRow | _Status | Partial


class LiveView:
    """Writes behind, in one pipeline for each batch; `failures` and `dropped` count what did not get there."""

    def __init__(self, client: Redis) -> None:
        self._redis = client
        self._waiting: deque[_Change] = deque()
        self._work = asyncio.Event()
        self._urgent = asyncio.Event()  # someone waits for it, or a batch is full
        self._idle = asyncio.Event()
        self._idle.set()
        self._sender: asyncio.Task[None] | None = None
        self.failures = 0
        self.dropped = 0

    @classmethod
    def open(cls, url: str) -> LiveView:
        """A view on the server at `url`; connects when there is something to say."""
        client = Redis.from_url(url, decode_responses=True, socket_timeout=5, socket_connect_timeout=5)
        return cls(client)

    def publish_nodes(self, rows: Iterable[NodeRow]) -> None:
        """Show outcomes, soon. Never waits, never raises."""
        for row in rows:
            self._enqueue(row)

    def publish_status(self, tenant: TenantId, execution_id: UUID, status: str) -> None:
        """Show an execution's status, soon; a final one starts the day after which the execution leaves the view."""
        self._enqueue(_Status(tenant, execution_id, status))

    def publish_partial(self, partial: Partial) -> None:
        """Show a piece of text, soon. It is left out while much waits: what has ended matters more."""
        if len(self._waiting) < MAX_WAITING // 2:
            self._enqueue(partial)

    async def execution(self, tenant: TenantId, execution_id: UUID) -> LiveExecution | None:
        """What is known of an execution; None if nothing is, or Redis is away: then PostgreSQL is to be asked."""
        try:
            raw: Any = await cast("Any", self._redis.hgetall(_key(tenant, execution_id)))
        except (RedisError, OSError) as error:
            self._note_failure(error)
            return None
        if not raw:
            return None
        nodes = {name[2:]: int(value) for name, value in raw.items() if name.startswith("n:") and int(value) > 0}
        return LiveExecution(raw.get("status", "running"), nodes)

    async def answers(self) -> bool:
        """Whether Redis is there now."""
        try:
            await cast("Any", self._redis.ping())
        except (RedisError, OSError):
            return False
        return True

    async def drain(self, timeout_s: float = 5) -> None:
        """Wait until everything is shown or given up, for `timeout_s` at most."""
        self._urgent.set()
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            _log.warning("the live view lags behind by %d changes", len(self._waiting))

    async def close(self) -> None:
        await self.drain(timeout_s=2)
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)
        await self._redis.aclose()

    def _enqueue(self, change: _Change) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(change)
        self._idle.clear()
        self._work.set()
        if len(self._waiting) >= _BATCH:
            self._urgent.set()
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_forever(), name="live view")

    async def _send_forever(self) -> None:
        while True:
            await self._gather_company()
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            if not await self._sent(batch):
                await asyncio.sleep(0.2)
                # Once more on a new connection: a repeated change is no newer than itself, so it does no harm.
                if not await self._sent(batch):
                    self.dropped += len(batch)
            if not self._waiting:
                self._work.clear()
                self._urgent.clear()
                self._idle.set()

    async def _sent(self, batch: list[_Change]) -> bool:
        try:
            await self._send(batch)
        except (RedisError, OSError) as error:
            self._note_failure(error)
            return False
        return True

    async def _gather_company(self) -> None:
        """Wait for a change, then a moment for others: people cannot tell, and a call costs as much as a node."""
        await self._work.wait()
        try:
            async with asyncio.timeout(GATHER_S):
                await self._urgent.wait()
        except TimeoutError:
            return

    async def _send(self, batch: list[_Change]) -> None:
        nodes: dict[tuple[TenantId, UUID], list[NodeRow]] = {}
        statuses: list[_Status] = []
        partials: list[Partial] = []
        for change in batch:
            if isinstance(change, NodeRow):
                nodes.setdefault((change.tenant, change.execution_id), []).append(change)
            elif isinstance(change, _Status):
                statuses.append(change)
            else:
                partials.append(change)
        async with self._redis.pipeline(transaction=False) as pipe:
            for partial in partials:  # before the end of their node
                _add_partial(pipe, partial)
            for (tenant, execution_id), rows in nodes.items():
                _add_nodes(pipe, tenant, execution_id, rows)
            for status in statuses:
                _add_status(pipe, status)
            await pipe.execute()

    def _note_failure(self, error: Exception) -> None:
        self.failures += 1
        if self.failures == 1 or self.failures % 100 == 0:
            _log.warning("Redis does not answer (%d times so far): %s", self.failures, error)


def _add_nodes(pipe: Any, tenant: TenantId, execution_id: UUID, rows: list[NodeRow]) -> None:
    key = _key(tenant, execution_id)
    nodes = "".join([f"{_node_name(row)}\x1f{row.status}\x1f{_sortable(row)}\x1e" for row in rows])
    stream = _stream(tenant)
    pipe.eval(_NODES_SCRIPT, 3, key, f"{key}:nodes", stream, str(execution_id), KEEP_RUNNING_S, STREAM_LENGTH, nodes)


def _add_status(pipe: Any, change: _Status) -> None:
    key = _key(change.tenant, change.execution_id)
    final = change.status in TERMINAL_EXECUTION_STATUSES
    pipe.hset(key, mapping={"status": change.status, **({"finished": 1} if final else {})})
    for name in (key, f"{key}:nodes"):
        pipe.expire(name, KEEP_FINISHED_S if final else KEEP_RUNNING_S)
    event = {"execution": str(change.execution_id), "status": change.status}
    pipe.xadd(_stream(change.tenant), event, maxlen=STREAM_LENGTH, approximate=True)


def _add_partial(pipe: Any, partial: Partial) -> None:
    event: dict[str, str | int] = {
        "execution": str(partial.execution_id),
        "node": _named(partial.node_path, partial.iteration, partial.generation),
        "attempt": partial.attempt,
        "offset": partial.offset,
        "partial": partial.text,
    }
    pipe.xadd(_stream(partial.tenant), event, maxlen=STREAM_LENGTH, approximate=True)


def _key(tenant: TenantId, execution_id: UUID) -> str:
    return f"sf:{tenant}:execution:{execution_id}"


def _stream(tenant: TenantId) -> str:
    return f"sf:{tenant}:events"


def _node_name(row: NodeRow) -> str:
    return _named(row.node_path, row.iteration, row.generation)


def _named(path: str, iteration: tuple[int, ...], generation: int) -> str:
    if not iteration and not generation:
        return path
    places = "".join(f"[{number}]" for number in iteration)
    return f"{path}{places}" + (f"#{generation}" if generation else "")


def _sortable(row: NodeRow) -> str:
    """The row's precedence as text that compares the same way."""
    attempt, ended, attempts, rank, lost = row.precedence
    return f"{attempt:06d}{ended:d}{attempts:06d}{rank}{lost:06d}"


assert max(STATUS_RANK.values()) < TERMINAL_RANK < 10  # one digit in `_sortable`
