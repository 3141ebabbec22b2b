"""The live view and the result cache's leases, looked through for what contradicts the record.

A rewrite changes a hash only if it still is as it was read, so that a worker's newer word is never lost.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.activities.clients.redis_live import KEEP_FINISHED_S
from engine.errors import SystemFault

_HASHES = "sf:*:execution:*"
_LEASES = "sf:*:result:*:lease"
# KEYS: hash. ARGV: status and `finished` as they were read, the status that is right, 1 if it is final, seconds to
# keep, and the counts as field and number.
_REWRITE = """
local status, finished = redis.call('HGET', KEYS[1], 'status'), redis.call('HEXISTS', KEYS[1], 'finished')
if (status or '') ~= ARGV[1] or finished ~= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], 'status', ARGV[3])
if ARGV[4] == '1' then
    for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
        if string.sub(field, 1, 2) == 'n:' then redis.call('HDEL', KEYS[1], field) end
    end
    redis.call('HSET', KEYS[1], 'finished', 1)
    for i = 6, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
    redis.call('EXPIRE', KEYS[1], ARGV[5])
else
    redis.call('HDEL', KEYS[1], 'finished')
end
return 1
"""
# A lease always runs out; one that does not was left behind and would hold everybody up for good.
_END_LEASE = "if redis.call('PTTL', KEYS[1]) == -1 then return redis.call('DEL', KEYS[1]) end return 0"


@dataclass(frozen=True, slots=True)
class LiveHash:
    """What the live view says of an execution; `nodes` counts node executions by status."""

    key: str
    tenant: UUID
    execution: UUID
    status: str
    finished: bool
    nodes: Mapping[str, int]


class LiveUpkeep:
    """Goes round all keys, a part each time. Every call raises SystemFault if Redis is away."""

    def __init__(self, client: Redis) -> None:
        self._redis = client
        self._cursors: dict[str, int] = {}

    @classmethod
    def open(cls, url: str) -> LiveUpkeep:
        return cls(Redis.from_url(url, decode_responses=True, socket_timeout=5, socket_connect_timeout=2))

    async def close(self) -> None:
        await self._redis.aclose()

    async def some_hashes(self, looks: int = 20) -> list[LiveHash]:
        """The next executions of the live view; some may come twice."""
        with _faults():
            keys = [key for key in await self._next(_HASHES, looks) if not key.endswith(":nodes")]
            async with self._redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.hgetall(key)
                raw = cast("list[dict[str, str]]", await pipe.execute())
        read = (_hash(key, fields) for key, fields in zip(keys, raw, strict=True) if fields)
        return [one for one in read if one is not None]

    async def rewrite(self, old: LiveHash, status: str, nodes: Mapping[str, int] | None = None) -> bool:
        """Say what is right; `nodes` of an execution that has ended. False if somebody else has written meanwhile."""
        counts = [text for name, count in (nodes or {}).items() for text in (f"n:{name}", str(count))]
        facts = [old.status, str(int(old.finished)), status, str(int(nodes is not None)), str(KEEP_FINISHED_S), *counts]
        with _faults():
            return bool(await cast("Any", self._redis.eval(_REWRITE, 1, old.key, *facts)))

    async def remove(self, old: LiveHash) -> bool:
        """Take an execution out of the view; False if it is gone already."""
        with _faults():
            return bool(await cast("Any", self._redis.delete(old.key, f"{old.key}:nodes")))

    async def end_leases(self, looks: int = 20) -> int:
        """End leases of the result cache that would never run out; how many."""
        with _faults():
            ended = 0
            for key in await self._next(_LEASES, looks):
                ended += int(await cast("Any", self._redis.eval(_END_LEASE, 1, key)))
        return ended

    async def _next(self, pattern: str, looks: int) -> list[str]:
        found: dict[str, None] = {}
        for _ in range(looks):
            cursor, keys = await cast("Any", self._redis.scan(self._cursors.get(pattern, 0), match=pattern, count=1000))
            self._cursors[pattern] = int(cursor)
            found.update(dict.fromkeys(keys))
            if self._cursors[pattern] == 0:
                break
        return list(found)


def _hash(key: str, fields: dict[str, str]) -> LiveHash | None:
    _, tenant, _, execution = key.split(":", 3)
    try:
        nodes = {name[2:]: int(count) for name, count in fields.items() if name.startswith("n:") and int(count) > 0}
        status = fields.get("status", "")
        return LiveHash(key, UUID(tenant), UUID(execution), status, "finished" in fields, nodes)
    except ValueError:
        return None


@contextmanager
def _faults() -> Generator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise SystemFault(f"Redis did not answer: {type(error).__name__}: {error}") from error
