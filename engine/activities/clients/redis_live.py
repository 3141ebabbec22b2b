"""The live view in Redis: what runs at this moment, for whoever watches.

`sf:{tenant}:execution:{id}` is a hash of the execution's `status` and the number of its nodes by status (`n:success`,
...); `sf:{tenant}:execution:{id}:nodes` holds each node's status, so that counting a repeated outcome twice is
impossible. `sf:{tenant}:events` is a stream of all changes, bounded: an entry names an `execution` and its `status`, or
its `nodes` (a line each of `path[iteration]#generation status`), or the `partial` text that one `node` has so far.
Losing Redis costs liveness and never data: every failure here is counted and logged, and the work goes on.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from models.rows import STATUS_RANK, TERMINAL_EXECUTION_STATUSES, TERMINAL_RANK, NodeRow
from models.tenancy import TenantId

KEEP_FINISHED_S = 24 * 3600
KEEP_RUNNING_S = 7 * 24 * 3600  # what a lost process left behind goes away too
STREAM_LENGTH = 10_000
MAX_WAITING = 20_000
GATHER_S = 0.05
_BATCH = 500
_log = logging.getLogger(__name__)

# KEYS: hash, nodes and stream of each execution. ARGV: stream length, then for each execution its id, how long to keep
# it, its statuses (with commas), 1 if the last of them is final, and its nodes as one text, for an argument each costs
# more here and there than all the rest: key, status, precedence, apart by US, each node ended by RS. An outcome that is
# not newer than the known one changes nothing.
_SCRIPT = """
local function show_nodes(hash, known_nodes, stream, execution, length, text)
    if redis.call('HEXISTS', hash, 'finished') == 1 then return end
    local names, statuses, precedences = {}, {}, {}
    for name, status, precedence in string.gmatch(text, '([^\\31\\30]+)\\31(%a+)\\31(%d+)\\30') do
        names[#names + 1], statuses[#statuses + 1], precedences[#precedences + 1] = name, status, precedence
    end
    local found, known, counts, changed, events = redis.call('HMGET', known_nodes, unpack(names)), {}, {}, {}, {}
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
        redis.call('HSET', known_nodes, unpack(changed))
        for status, count in pairs(counts) do redis.call('HINCRBY', hash, 'n:' .. status, count) end
        local lines = table.concat(events, '\\n')
        redis.call('XADD', stream, 'MAXLEN', '~', length, '*', 'execution', execution, 'nodes', lines)
    end
    redis.call('HSETNX', hash, 'status', 'running')
end

for i = 0, #KEYS / 3 - 1 do
    local hash, known_nodes, stream = KEYS[3 * i + 1], KEYS[3 * i + 2], KEYS[3 * i + 3]
    local execution, keep, statuses, final, text = unpack(ARGV, 5 * i + 2, 5 * i + 6)
    if text ~= '' then show_nodes(hash, known_nodes, stream, execution, ARGV[1], text) end
    for status in string.gmatch(statuses, '[^,]+') do
        redis.call('HSET', hash, 'status', status)
        redis.call('XADD', stream, 'MAXLEN', '~', ARGV[1], '*', 'execution', execution, 'status', status)
    end
    if final == '1' then redis.call('HSET', hash, 'finished', 1) end
    redis.call('EXPIRE', hash, keep)
    redis.call('EXPIRE', known_nodes, keep)
end
return 1
"""
_SCRIPT_DIGEST = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()


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


@dataclass(slots=True)
class _Shown:
    """What a batch tells of one execution."""

    statuses: list[str] = field(default_factory=list[str])
    nodes: str = ""

    def add(self, change: NodeRow | _Status) -> None:
        if isinstance(change, _Status):
            self.statuses.append(change.status)
        else:
            self.nodes += f"{_node_name(change)}\x1f{change.status}\x1f{_sortable(change)}\x1e"

    @property
    def is_final(self) -> bool:
        return bool(self.statuses) and self.statuses[-1] in TERMINAL_EXECUTION_STATUSES

    @property
    def keep_s(self) -> int:
        return KEEP_FINISHED_S if self.is_final else KEEP_RUNNING_S


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
        shown: dict[tuple[TenantId, UUID], _Shown] = {}
        partials: list[Partial] = []
        for change in batch:
            if isinstance(change, Partial):
                partials.append(change)
            else:
                _shown_of(shown, change).add(change)
        if partials:  # before the end of their node
            async with self._redis.pipeline(transaction=False) as pipe:
                for partial in partials:
                    _add_partial(pipe, partial)
                await pipe.execute()
        if shown:
            await self._run_script(shown)

    async def _run_script(self, shown: dict[tuple[TenantId, UUID], _Shown]) -> None:
        """All executions in one call: a command costs this process more than what it carries."""
        keys, arguments = list[str](), list[str | int]([STREAM_LENGTH])
        for (tenant, execution_id), one in shown.items():
            key = _key(tenant, execution_id)
            keys += (key, f"{key}:nodes", stream_of(tenant))
            arguments += (str(execution_id), one.keep_s, ",".join(one.statuses), int(one.is_final), one.nodes)
        try:
            await cast("Any", self._redis.evalsha(_SCRIPT_DIGEST, len(keys), *keys, *arguments))
        except NoScriptError:  # a server that is new to us, or was restarted
            await cast("Any", self._redis.eval(_SCRIPT, len(keys), *keys, *arguments))

    def _note_failure(self, error: Exception) -> None:
        self.failures += 1
        if self.failures == 1 or self.failures % 100 == 0:
            _log.warning("Redis does not answer (%d times so far): %s", self.failures, error)


def _shown_of(shown: dict[tuple[TenantId, UUID], _Shown], change: NodeRow | _Status) -> _Shown:
    key = (change.tenant, change.execution_id)
    one = shown.get(key)
    if one is None:
        one = shown[key] = _Shown()
    return one


def _add_partial(pipe: Any, partial: Partial) -> None:
    event: dict[str, str | int] = {
        "execution": str(partial.execution_id),
        "node": named(partial.node_path, partial.iteration, partial.generation),
        "attempt": partial.attempt,
        "offset": partial.offset,
        "partial": partial.text,
    }
    pipe.xadd(stream_of(partial.tenant), event, maxlen=STREAM_LENGTH, approximate=True)


def _key(tenant: TenantId, execution_id: UUID) -> str:
    return f"sf:{tenant}:execution:{execution_id}"


def stream_of(tenant: TenantId) -> str:
    """The key of the stream of a tenant's changes."""
    return f"sf:{tenant}:events"


def _node_name(row: NodeRow) -> str:
    return named(row.node_path, row.iteration, row.generation)


def named(path: str, iteration: tuple[int, ...], generation: int) -> str:
    """A node execution as entries name it: `path[iteration]#generation`."""
    if not iteration and not generation:
        return path
    places = "".join(f"[{number}]" for number in iteration)
    return f"{path}{places}" + (f"#{generation}" if generation else "")


def _sortable(row: NodeRow) -> str:
    """The row's precedence as text that compares the same way."""
    attempt, ended, attempts, rank, lost = row.precedence
    return f"{attempt:06d}{ended:d}{attempts:06d}{rank}{lost:06d}"


assert max(STATUS_RANK.values()) < TERMINAL_RANK < 10  # one digit in `_sortable`
