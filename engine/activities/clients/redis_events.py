"""Reads the stream of changes that workers write to Redis, as a hint that there is something new in PostgreSQL.

Facts are never taken from here: an entry says which execution has changed, and brings the partial text of its nodes,
which stands nowhere else.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.activities.clients.redis_live import stream_of
from models.tenancy import TenantId

BLOCK_MS = 1000
MAX_ENTRIES = 500


@dataclass(frozen=True, slots=True)
class Hint:
    """Something of an execution has changed. With `text`: a piece of what the node `node` has so far."""

    execution_id: UUID
    node: str = ""
    attempt: int = 0
    offset: int = 0
    text: str | None = None


class LiveEvents:
    """The streams of all tenants on one server."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url, decode_responses=True, socket_timeout=5, socket_connect_timeout=2)

    async def hints(self, tenant: TenantId) -> AsyncGenerator[list[Hint]]:
        """What comes from now on; an empty list once it listens, and after each second without anything.

        A flush empties the stream and ends nothing: newer entries have greater ids.
        Raises: ConnectionError if Redis is away.
        """
        stream = stream_of(tenant)
        try:
            last = await self._newest(stream)
            yield []
            while True:
                raw: Any = await cast("Any", self._redis.xread({stream: last}, count=MAX_ENTRIES, block=BLOCK_MS))
                entries = _entries(raw)
                if entries:
                    last = entries[-1][0]
                yield [hint for _, fields in entries if (hint := _hint(fields)) is not None]
        except (RedisError, OSError) as error:
            raise ConnectionError(f"Redis does not answer: {error}") from error

    async def close(self) -> None:
        await self._redis.aclose()

    async def _newest(self, stream: str) -> str:
        raw: Any = await cast("Any", self._redis.xrevrange(stream, count=1))
        if raw:
            return str(raw[0][0])
        seconds, micros = await cast("Any", self._redis.time())
        return f"{seconds * 1000 + micros // 1000 - 1}-0"


def _entries(raw: Any) -> list[tuple[str, dict[str, str]]]:
    """Of the only stream that was asked; redis-py gives a mapping or a list, depending on the protocol."""
    if not raw:
        return []
    found: Any = next(iter(raw.values())) if isinstance(raw, dict) else raw[0][1]
    while found and isinstance(found[0], list):  # one level more in a mapping
        found = found[0]
    return cast("list[tuple[str, dict[str, str]]]", list(found))


def _hint(fields: dict[str, str]) -> Hint | None:
    try:
        execution_id = UUID(fields["execution"])
        if "partial" not in fields:
            return Hint(execution_id)
        return Hint(execution_id, fields["node"], int(fields["attempt"]), int(fields["offset"]), fields["partial"])
    except (KeyError, ValueError):
        return None
