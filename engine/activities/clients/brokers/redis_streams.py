"""Redis Streams: entries with plain fields out, consumer groups in.

An entry that is read belongs to its consumer until it is acknowledged. The consumer is the node execution: a repeated
attempt finds what the one before took. What is given back goes to a consumer of its own, where the next receive of the
group finds it; what a worker took that died is taken over after a while.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any, ClassVar, Self, cast
from urllib.parse import quote

from faststream.redis import RedisBroker
from faststream.redis.message import DATA_KEY
from faststream.redis.parser import BinaryMessageFormatV1
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    OutOfMemoryError,
    RedisError,
    ResponseError,
)

from engine.activities.clients.brokers.links import CLIENT_NAME, Budget, denied, full, invalid, shown_headers
from engine.activities.clients.brokers.targets import Target
from engine.errors import EXTERNAL_ERROR, NodeError
from engine.nodes.messaging.bodies import JSON_TYPE
from engine.nodes.messaging.exchange import Delivery, Outgoing, Pull, Received

# Longer than any receive holds messages: from the read to the commit of the outcome.
TAKEN_OVER_AFTER_S = 300.0
_CHUNK = 16
_RETURNED = f"{CLIENT_NAME}-returned"
_LONG_AGO_MS = 10_000_000_000
_MAX_CONNECTIONS = 50
_BODY, _TYPE, _ID, _HEADERS, _KEY = b"body", b"content_type", b"message_id", b"headers", b"key"
# Removes a consumer, which would take its unacknowledged entries with it, only if it has none.
_REMOVE_IDLE = """
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then
  return redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
end
return 0
"""
Entry = tuple[bytes, dict[bytes, bytes]]


class RedisLink:
    """One pool of connections to a Redis or Valkey server (6.2 or newer)."""

    faults: ClassVar[tuple[type[Exception], ...]] = (RedisError, OSError)
    deduplicates: ClassVar[bool] = False

    def __init__(self, broker: RedisBroker, client: Redis, *, taken_over_after_s: float = TAKEN_OVER_AFTER_S) -> None:
        self._broker = broker
        self._client = client
        self._taken_over_after_ms = int(taken_over_after_s * 1000)

    @classmethod
    async def open(cls, target: Target) -> Self:
        # No retries of its own: an entry would be added twice.
        retry = Retry(NoBackoff(), 0)
        broker = RedisBroker(
            _url(target),
            retry=cast("Any", retry),
            max_connections=_MAX_CONNECTIONS,
            socket_timeout=None,  # a read waits as long as the node says; the pool ends everything in time
            logger=cast("Any", None),
            apply_types=False,
        )
        try:
            client = await broker.connect()
            await client.ping()
        except (AuthenticationError, NoPermissionError):
            raise denied(f"{target.name} refused the user name or the password") from None
        except ResponseError as error:
            raise _refusal(error, target.name) from None
        return cls(broker, client)

    async def prepare(self, *, sending: bool) -> None:
        await self._client.ping()

    async def close(self) -> None:
        await self._broker.stop()

    async def send(self, message: Outgoing) -> None:
        fields = {_ID: message.message_id, _BODY: message.body, _TYPE: message.content_type}
        if message.headers:
            fields[_HEADERS] = json.dumps(dict(message.headers))
        if message.key is not None:
            fields[_KEY] = message.key
        try:
            await self._client.xadd(message.queue, cast("Any", fields), maxlen=message.max_length, approximate=True)
        except OutOfMemoryError:
            raise full("the server has no memory left") from None
        except ResponseError as error:
            raise _refusal(error, message.queue) from None

    async def receive(self, pull: Pull) -> Delivery:
        reader = _Reader(self._client, pull, self._taken_over_after_ms)
        try:
            return await reader.read()
        except ResponseError as error:
            await reader.give_back()
            raise _refusal(error, pull.queue) from None
        except BaseException:
            await reader.give_back()
            raise


class _Reader:
    """One receive: entries of this consumer first, then those that nobody holds any more, then new ones."""

    def __init__(self, client: Redis, pull: Pull, taken_over_after_ms: int) -> None:
        self._client = client
        self._pull = pull
        self._taken_over_after_ms = taken_over_after_ms
        self._budget = Budget(pull)
        self._held: list[bytes] = []  # every entry that belongs to this consumer now
        self._kept: list[bytes] = []
        self._messages: list[Received] = []

    async def read(self) -> Delivery:
        await self._make_group()
        await self._take_own()
        await self._take_over()
        await self._take_new()
        if not self._messages and self._pull.wait_s > 0 and not self._budget.full:
            self._keep(await self._read_new(block_ms=max(1, int(self._pull.wait_s * 1000))))
            await self._take_new()
        surplus = [entry for entry in self._held if entry not in set(self._kept)]
        await self._return(surplus)
        self._held = [*self._kept]
        if not self._kept:
            await self._remove_consumer()
        return Delivery(self._messages, _Receipt(self) if self._kept else None)

    async def acknowledge(self) -> None:
        await self._client.xack(self._pull.queue, self._pull.group, *self._held)
        self._held = []
        await self._remove_consumer()

    async def give_back(self) -> None:
        """Let the next receive of the group have what this one holds; what fails here is taken over later."""
        with contextlib.suppress(RedisError, OSError):
            await self._return(self._held)
            self._held = []
            await self._remove_consumer()

    async def _make_group(self) -> None:
        try:
            await self._client.xgroup_create(self._pull.queue, self._pull.group, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def _take_own(self) -> None:
        last = b"0"
        while not self._budget.full:
            entries = await self._read_group(last, None)
            if not entries:
                return
            last = entries[-1][0]
            self._keep(entries, redelivered=True)

    async def _take_over(self) -> None:
        cursor: bytes = b"0-0"
        while not self._budget.full:
            answer = await self._client.xautoclaim(
                self._pull.queue,
                self._pull.group,
                self._pull.consumer,
                min_idle_time=self._taken_over_after_ms,
                start_id=cast("Any", cursor),
                count=min(_CHUNK, self._budget.messages_left),
            )
            cursor, entries = answer[0], cast("list[Entry]", answer[1])
            self._keep(entries, redelivered=True)
            if cursor == b"0-0":
                return

    async def _take_new(self) -> None:
        while not self._budget.full:
            entries = await self._read_new(block_ms=None)
            if not entries:
                return
            self._keep(entries)

    async def _read_new(self, *, block_ms: int | None) -> list[Entry]:
        return await self._read_group(b">", block_ms)

    async def _read_group(self, position: bytes, block_ms: int | None) -> list[Entry]:
        answer = await self._client.xreadgroup(
            self._pull.group,
            self._pull.consumer,
            {self._pull.queue: cast("Any", position)},
            count=min(_CHUNK, self._budget.messages_left),
            block=block_ms,
        )
        return _entries(answer)

    def _keep(self, entries: Sequence[Entry], *, redelivered: bool = False) -> None:
        self._held += [entry for entry, _ in entries]
        for entry, fields in entries:
            if not fields:  # deleted after it was handed out
                continue
            if self._budget.full or not self._budget.take(sum(map(len, fields.values()))):
                return
            self._kept.append(entry)
            self._messages.append(_received(entry, fields, redelivered=redelivered))

    async def _return(self, entries: Sequence[bytes]) -> None:
        if entries:
            await self._client.xclaim(
                self._pull.queue,
                self._pull.group,
                _RETURNED,
                min_idle_time=0,
                message_ids=cast("Any", list(entries)),
                idle=_LONG_AGO_MS,
                justid=True,
            )

    async def _remove_consumer(self) -> None:
        # Consumers are never removed by themselves; a user who may not run scripts keeps them.
        with contextlib.suppress(RedisError):
            await cast("Any", self._client).eval(
                _REMOVE_IDLE, 1, self._pull.queue, self._pull.group, self._pull.consumer
            )


class _Receipt:
    def __init__(self, reader: _Reader) -> None:
        self._reader = reader

    async def acknowledge(self) -> None:
        await self._reader.acknowledge()

    async def release(self) -> None:
        await self._reader.give_back()


def _entries(answer: Any) -> list[Entry]:
    """Entries of the one stream that was asked for, in either version of the protocol."""
    if not answer:
        return []
    if isinstance(answer, dict):
        (found,) = cast("dict[Any, Any]", answer).values()
        found = found[0] if found and isinstance(found[0], list) else found
    else:
        found = answer[0][1]
    return [(entry, dict(fields or {})) for entry, fields in found]


def _received(entry: bytes, fields: dict[bytes, bytes], *, redelivered: bool) -> Received:
    headers: dict[str, Any] = {}
    content_type: str | None = None
    if _BODY in fields:
        body, headers = fields[_BODY], _headers(fields.get(_HEADERS))
        content_type = _text(fields.get(_TYPE))
    elif DATA_KEY.encode() in fields:  # what FastStream's own publishers write
        body, headers = BinaryMessageFormatV1.parse(fields[DATA_KEY.encode()])
        content_type = headers.get("content-type")
    else:
        body = json.dumps({_text(name): _text(value) for name, value in fields.items()}).encode()
        content_type = JSON_TYPE
    name = entry.decode()
    return Received(
        id=_text(fields.get(_ID)) or name,
        body=body,
        content_type=content_type,
        headers=shown_headers(headers),
        key=_text(fields.get(_KEY)),
        timestamp_s=int(name.partition("-")[0]) / 1000,
        redelivered=redelivered,
    )


def _headers(raw: bytes | None) -> dict[str, Any]:
    try:
        headers = json.loads(raw or b"{}")
    except ValueError:
        return {}
    return cast("dict[str, Any]", headers) if isinstance(headers, dict) else {}


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("utf-8", "replace")


def _refusal(error: ResponseError, name: str) -> NodeError:
    """What the server said no to; nothing was done."""
    text = str(error)
    if isinstance(error, NoPermissionError | AuthenticationError) or text.startswith(("NOPERM", "NOAUTH", "WRONGPASS")):
        return denied(f"this user may not do this with {name}")
    if "WRONGTYPE" in text:
        return invalid(f"{name} is no stream: it holds another type of data")
    passing = text.startswith(("LOADING", "BUSY", "READONLY", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN"))
    return NodeError(f"the server refused: {text[:300]}", code=EXTERNAL_ERROR, retryable=passing)


def _url(target: Target) -> str:
    user = ""
    if target.username is not None or target.password is not None:
        user = f"{quote(target.username or '', safe='')}:{quote(target.password or '', safe='')}@"
    if target.path and not target.path.isdecimal():
        raise invalid("the path of a redis url is the number of a database")
    authorities = f"?ssl_ca_certs={quote(target.options['ca'], safe='')}" if "ca" in target.options else ""
    scheme = "rediss" if target.tls else "redis"
    return f"{scheme}://{user}{target.addresses[0]}/{target.path or '0'}{authorities}"
