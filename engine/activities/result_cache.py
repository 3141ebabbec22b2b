"""Result cache: a node with `cache: {ttl}` that would do the same thing again takes the result that is there.

The key is a digest of everything that the result may depend on: tenant, type and version, the resolved parameters, what
the node's own expressions read of the scope, the upstream output where the type reads it, and the credential's name.
Identical calls at the same time run once: one worker holds a lease and renews it, the others wait for the result; if
the holder fails or dies, one of those that wait takes its place. Failures are never kept. Without Redis all nodes run.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import orjson

from engine.activities.clients.objects import Values
from engine.activities.clients.redis_results import Lease, RedisAway, ResultStore
from engine.activities.program import NodeProgram
from engine.dag.values import Value
from engine.errors import NodeError
from engine.expressions import compile_expression
from engine.expressions.paths import resolve
from engine.nodes.base import Credential, NodeContext
from engine.telemetry import metrics
from models.tenancy import TenantId

FORM = 1  # of keys and entries; another number leaves all old entries behind
LONGEST_TTL_S = 30 * 24 * 3600.0
LEASE_S = (0.6, 3.0)  # of a node with a short and with a long timeout
POLL_S = (0.02, 0.2)  # first and longest wait between two looks for another's result
_TELLING = (
    "name", "version", "type", "header", "query", "prefix", "username", "host", "port", "security", "from_address",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kept:
    """A successful result. `passes_upstream`: the port carries the upstream output, which is at hand anyway."""

    output: Value
    port: str | None = None
    data: Value | None = None
    passes_upstream: bool = False

    def to_bytes(self) -> bytes:
        data = None if self.passes_upstream else self.data
        return orjson.dumps([FORM, self.output, self.port, data, self.passes_upstream])

    @classmethod
    def from_bytes(cls, raw: bytes) -> Kept | None:
        """None for what is no entry of this form."""
        try:
            form, output, port, data, passes = orjson.loads(raw)
        except (ValueError, TypeError):
            return None
        return cls(output, port, data, passes) if form == FORM else None


class ResultCache:
    """Finds results, or has them made by one caller at a time."""

    def __init__(self, store: ResultStore, values: Values) -> None:
        self._store = store
        self._values = values

    async def find_or_run(
        self,
        tenant: TenantId,
        key: str,
        run: Callable[[], Awaitable[Kept]],
        *,
        ttl_s: float,
        lease_s: float | None,
    ) -> tuple[Kept, bool]:
        """The result, and whether it was there already. Waits without end for another's lease: bound it.

        With `lease_s` None nobody waits for another: right for what takes less time than to ask.
        Raises: whatever `run` raises.
        """
        name = f"sf:{tenant}:result:{key}"
        try:
            claimed = await self._claim(tenant, name, lease_s)
        except RedisAway:
            metrics.CACHE.add(("bypass",))
            return await run(), False
        metrics.CACHE.add(("hit" if isinstance(claimed, Kept) else "miss",))
        if isinstance(claimed, Kept):
            return claimed, True
        if claimed is None:
            return await self._run(name, run, ttl_s), False
        async with claimed.held():
            return await self._run(name, run, ttl_s), False

    async def _claim(self, tenant: TenantId, name: str, lease_s: float | None) -> Kept | Lease | None:
        """A result, or the right to make it (None where that needs no lease)."""
        wait_s, longest_s = POLL_S
        while True:
            kept = await self._find(tenant, name)
            if kept is not None or lease_s is None:
                return kept
            lease = await self._store.lease(f"{name}:lease", lease_s)
            if lease is not None:
                kept = await self._find(tenant, name)  # put there between the two questions
                if kept is None:
                    return lease
                await lease.release()
                return kept
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 1.5, longest_s)

    async def _find(self, tenant: TenantId, name: str) -> Kept | None:
        raw = await self._store.get(name)
        kept = None if raw is None else Kept.from_bytes(raw)
        if kept is None:
            return None
        for value in (kept.output, kept.data):
            if value is not None and not await self._values.is_there(tenant, value):
                return None
        return kept

    async def _run(self, name: str, run: Callable[[], Awaitable[Kept]], ttl_s: float) -> Kept:
        kept = await run()
        with contextlib.suppress(RedisAway):
            await self._store.put(name, kept.to_bytes(), min(ttl_s, LONGEST_TTL_S))
        return kept


def lease_s_for(timeout_s: float) -> float:
    """How long a lease lasts without a sign of life: a fraction of the attempt, so that who waits has time left."""
    shortest, longest = LEASE_S
    return min(longest, max(shortest, timeout_s / 4))


def result_key(program: NodeProgram, params: Mapping[str, Any], context: NodeContext) -> str | None:
    """Digest of everything that the result may depend on; None if that cannot be written down, or it is never kept."""
    node_type = program.type
    if not node_type.cacheable(dict(params)):
        return None
    facts = [
        FORM,
        node_type.type,
        node_type.version,
        params,
        [*_read_by_expressions(program, context.scope)],
        [context.upstream] if node_type.reads_upstream else [],
        _told(context.credential),
    ]
    try:
        return hashlib.sha256(_canonical(facts)).hexdigest()
    except (TypeError, ValueError, RecursionError):
        return None


def _read_by_expressions(program: NodeProgram, scope: Mapping[str, Any]) -> Iterator[list[Any]]:
    """What the node's own expressions read of the scope; `item` counts too where a loop around gives one."""
    for _, source in program.expressions:
        if not isinstance(source, str):
            continue
        for path in compile_expression(source).paths:
            try:
                yield [path.text, resolve(path, scope)]
            except NodeError:
                yield [path.text]


def _told(credential: Credential | None) -> dict[str, Any]:
    """What a key may know of a credential: which it is and whom it speaks for, no secret."""
    if credential is None:
        return {}
    fields = cast("dict[str, Any]", credential)
    return {name: fields[name] for name in _TELLING if name in fields}


def _canonical(facts: Any) -> bytes:
    try:
        return orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # an integer of more than 64 bits, which orjson does not write
        return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode("utf-8", "surrogatepass")
