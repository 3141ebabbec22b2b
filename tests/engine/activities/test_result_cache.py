"""The result cache on a real server: what makes one key, who runs, and what happens when somebody is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from engine.activities.clients.objects import ObjectStore, Values
from engine.activities.clients.redis_results import RedisAway, ResultStore
from engine.activities.program import Program, filled
from engine.activities.result_cache import FORM, Kept, ResultCache, lease_s_for, result_key
from engine.dag.compile import compile_plan
from engine.dag.parsing import parse_spec
from engine.dag.values import inline, stored
from engine.errors import NodeError
from engine.expressions import AstReferenceParser
from engine.nodes.base import Credential, NodeContext
from engine.nodes.registry import built_in_catalogue
from models.tenancy import TenantId, mint_tenant
from tests.models.server import ValkeyServer, free_port

LEASE_S = 0.6


@pytest_asyncio.fixture
async def store(valkey: ValkeyServer) -> AsyncIterator[ResultStore]:
    opened = ResultStore.open(valkey.url)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def other_store(valkey: ValkeyServer) -> AsyncIterator[ResultStore]:
    opened = ResultStore.open(valkey.url)
    yield opened
    await opened.close()


@pytest.fixture
def values(tmp_path: Path) -> Values:
    return Values(ObjectStore.open((tmp_path / "objects").as_uri()))


class Maker:
    """Something to run that counts; it waits for `go` before it ends, and fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.runs = 0
        self.failures = failures
        self.began = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self) -> Kept:
        self.runs += 1
        self.began.set()
        await self.go.wait()
        if self.runs <= self.failures:
            raise NodeError("no")
        return Kept(inline({"run": self.runs}), "out")


async def find(cache: ResultCache, tenant: TenantId, maker: Maker, **options: Any) -> tuple[Kept, bool]:
    given = {"ttl_s": 60.0, "lease_s": LEASE_S, **options}
    async with asyncio.timeout(60):
        return await cache.find_or_run(tenant, "key", maker, **given)


# ---- who runs


async def test_a_result_is_found_until_its_time_is_over(store: ResultStore, values: Values, tenant: TenantId) -> None:
    cache, maker = ResultCache(store, values), Maker()
    maker.go.set()
    assert await find(cache, tenant, maker, ttl_s=0.2) == (Kept(inline({"run": 1}), "out"), False)
    assert await find(cache, tenant, maker, ttl_s=60) == (Kept(inline({"run": 1}), "out"), True)
    while await store.get(f"sf:{tenant}:result:key") is not None:  # noqa: ASYNC110 - the server's clock, not ours
        await asyncio.sleep(0.02)
    assert (await find(cache, tenant, maker))[0] == Kept(inline({"run": 2}), "out")


async def test_calls_at_the_same_time_run_once_over_all_workers(
    store: ResultStore, other_store: ResultStore, values: Values, tenant: TenantId
) -> None:
    caches, maker = [ResultCache(store, values), ResultCache(other_store, values)], Maker()
    calls = [asyncio.create_task(find(caches[number % 2], tenant, maker)) for number in range(20)]
    await maker.began.wait()
    await asyncio.sleep(LEASE_S * 2)  # longer than the lease, which is renewed
    maker.go.set()
    results = await asyncio.gather(*calls)
    assert maker.runs == 1
    assert [kept for kept, _ in results] == [Kept(inline({"run": 1}), "out")] * 20
    assert sorted(hit for _, hit in results) == [False] + [True] * 19


async def test_a_failure_is_not_kept_and_the_next_in_line_runs(
    store: ResultStore, values: Values, tenant: TenantId
) -> None:
    cache, maker = ResultCache(store, values), Maker(failures=1)
    first = asyncio.create_task(find(cache, tenant, maker))
    await maker.began.wait()
    second = asyncio.create_task(find(cache, tenant, maker))
    maker.go.set()
    with pytest.raises(NodeError):
        await first
    assert await second == (Kept(inline({"run": 2}), "out"), False)


async def test_one_that_is_cancelled_leaves_the_place_to_the_next(
    store: ResultStore, values: Values, tenant: TenantId
) -> None:
    cache, maker = ResultCache(store, values), Maker()
    first = asyncio.create_task(find(cache, tenant, maker, lease_s=60))
    await maker.began.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    maker.go.set()
    assert await find(cache, tenant, maker, lease_s=60) == (Kept(inline({"run": 2}), "out"), False)


async def test_a_holder_that_dies_is_replaced(
    store: ResultStore, other_store: ResultStore, values: Values, tenant: TenantId
) -> None:
    dead = await other_store.lease(f"sf:{tenant}:result:key:lease", LEASE_S)  # and nobody renews it
    assert dead is not None
    maker = Maker()
    maker.go.set()
    assert await find(ResultCache(store, values), tenant, maker) == (Kept(inline({"run": 1}), "out"), False)


async def test_without_a_lease_nobody_waits(store: ResultStore, values: Values, tenant: TenantId) -> None:
    cache, slow, quick = ResultCache(store, values), Maker(), Maker()
    first = asyncio.create_task(find(cache, tenant, slow, lease_s=None))
    await slow.began.wait()
    quick.go.set()
    assert (await find(cache, tenant, quick, lease_s=None))[1] is False
    slow.go.set()
    await first
    assert (await find(cache, tenant, quick, lease_s=None))[1] is True


async def test_another_tenant_sees_nothing(store: ResultStore, values: Values, tenant: TenantId) -> None:
    cache, maker = ResultCache(store, values), Maker()
    maker.go.set()
    await find(cache, tenant, maker)
    assert (await find(cache, mint_tenant(uuid4()), maker))[1] is False


# ---- what is away


async def test_without_redis_everything_runs_and_soon_nobody_asks(values: Values, tenant: TenantId) -> None:
    store = ResultStore.open(f"redis://127.0.0.1:{free_port()}/0")
    cache, maker = ResultCache(store, values), Maker()
    maker.go.set()
    results = [await find(cache, tenant, maker) for _ in range(3)]
    assert [hit for _, hit in results] == [False] * 3
    assert maker.runs == 3
    with pytest.raises(RedisAway):
        await store.get("anything")
    await store.close()


async def test_a_result_whose_object_is_gone_is_made_again(
    store: ResultStore, values: Values, tenant: TenantId
) -> None:
    entry = Kept(stored("ab" * 32, 100_000))
    await store.put(f"sf:{tenant}:result:key", entry.to_bytes(), 60)
    maker = Maker()
    maker.go.set()
    assert (await find(ResultCache(store, values), tenant, maker))[1] is False


@pytest.mark.parametrize("raw", [b"", b"nonsense", b"[]", b"{}", b'[0, {"v": 1, "n": 1}, null, null, false]', b"7"])
async def test_an_entry_of_another_form_is_made_again(
    store: ResultStore, values: Values, tenant: TenantId, raw: bytes
) -> None:
    await store.put(f"sf:{tenant}:result:key", raw, 60)
    maker = Maker()
    maker.go.set()
    assert (await find(ResultCache(store, values), tenant, maker))[1] is False
    assert (await find(ResultCache(store, values), tenant, maker))[1] is True


def test_an_entry_comes_back_as_it_was() -> None:
    kept = Kept(inline([1]), "big", inline({"a": None}), passes_upstream=False)
    assert Kept.from_bytes(kept.to_bytes()) == kept
    passing = Kept(inline({"port": "big"}), "big", inline("upstream"), passes_upstream=True)
    assert Kept.from_bytes(passing.to_bytes()) == Kept(inline({"port": "big"}), "big", None, passes_upstream=True)
    assert FORM == 1


def test_a_lease_is_a_fraction_of_the_attempt() -> None:
    assert [lease_s_for(seconds) for seconds in (0.5, 4, 30)] == [0.6, 1.0, 3.0]


# ---- what makes one key


def key(node: dict[str, Any], scope: dict[str, Any] | None = None, **context: Any) -> str | None:
    document = {"name": "x", "nodes": [{"id": "a", "cache": {"ttl": "1h"}, **node}]}
    spec = parse_spec(document)
    catalogue = built_in_catalogue()
    program = Program(spec, compile_plan(spec, catalogue, AstReferenceParser()), catalogue).node(0)
    rendered = program.params.fill(scope or {}, iter([]))
    return result_key(program, filled(program, rendered), NodeContext(scope=scope or {}, **context))


HTTP = {"type": "http", "params": {"url": "https://a.example/x", "query": {"a": 1, "b": 2}}}
FILTER = {"type": "filter", "params": {"items": [1, 2], "condition": "item > vars.least and input.on"}}


def seen(**names: Any) -> dict[str, Any]:
    return {"vars": {"least": 1, "other": 5}, "input": {"on": True}, "nodes": {}, **names}


def test_the_same_call_has_the_same_key_whoever_makes_it() -> None:
    turned = {"type": "http", "params": {"query": {"b": 2, "a": 1}, "url": "https://a.example/x"}}
    assert key(HTTP) == key({**turned, "id": "other"}, execution_id="e2", idempotency_key="k", attempt=3)
    rendered = {"type": "http", "params": {**HTTP["params"], "url": "{{ input.url }}"}}
    assert key(HTTP) == key(rendered, {"input": {"url": "https://a.example/x"}})


@pytest.mark.parametrize(
    "other",
    [
        {**HTTP, "params": {**HTTP["params"], "query": {"a": 1, "b": 3}}},
        {**HTTP, "params": {**HTTP["params"], "query": {"a": 1, "b": "2"}}},
        {**HTTP, "params": {**HTTP["params"], "query": {"a": 1, "b": 2.0}}},
        {**HTTP, "params": {**HTTP["params"], "query": {"a": True, "b": 2}}},
        {**HTTP, "params": {**HTTP["params"], "method": "POST"}},
    ],
)
def test_another_parameter_makes_another_key(other: dict[str, Any]) -> None:
    assert key(HTTP) != key(other)


def test_another_credential_makes_another_key_and_its_secret_plays_no_part() -> None:
    def with_credential(**fields: Any) -> str | None:
        return key(HTTP, credential=Credential(type="basic", **fields))

    one = with_credential(name="a", username="u", password="1")
    assert one == with_credential(name="a", username="u", password="2")
    assert len({key(HTTP), one, with_credential(name="b", username="u"), with_credential(name="a", username="v")}) == 4


def test_what_own_expressions_read_of_the_scope_is_part_of_the_key() -> None:
    one = key(FILTER, seen())
    assert one == key(FILTER, seen(vars={"least": 1, "other": 6}))
    assert one != key(FILTER, seen(vars={"least": 2, "other": 5}))
    assert one != key(FILTER, seen(input={"on": False}))
    assert one != key(FILTER, seen(vars={}))
    assert one != key({**FILTER, "params": {**FILTER["params"], "condition": "item < vars.least"}}, seen())


def test_the_item_of_a_loop_around_is_part_of_the_key() -> None:
    condition = {"type": "condition", "params": {"conditions": [{"condition": "item.x > 1", "output_port": "big"}]}}
    assert key(condition, seen(item={"x": 1})) != key(condition, seen(item={"x": 2}))


def test_the_upstream_output_is_part_of_the_key_where_the_type_reads_it() -> None:
    mapping = {"type": "map", "params": {"mapping_expression": "item"}}
    assert key(mapping, upstream=[1]) != key(mapping, upstream=[2])
    assert key(HTTP, upstream=[1]) == key(HTTP, upstream=[2])


def test_large_numbers_have_keys_and_what_is_no_json_has_none() -> None:
    transform = {"type": "transform", "params": {"mapping": "{{ input.n }}"}}
    assert key(transform, seen(input={"n": 2**70})) != key(transform, seen(input={"n": 2**70 + 1}))
    assert key(transform, seen(input={"n": {1, 2}})) is None
