"""The effect server keeps what was asked of it, and notices callers that leave."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest

from tests.faults.effects import answer_to, running_effects
from tests.structforge.devstack.conftest import eventually


async def test_every_call_is_kept_with_its_key_and_effect(tmp_path: Path) -> None:
    async with running_effects(tmp_path / "log") as server, httpx2.AsyncClient(trust_env=False) as client:
        await server.set_latency(0, 1)
        put = await client.put(f"{server.url}/effect/a", json={"n": 5}, headers={"idempotency-key": "one"})
        get = await client.get(f"{server.url}/effect/b", params={"n": 6})
        calls = await server.calls()
    assert [put.json(), get.json()] == [{"answer": 38}, {"answer": 45}]  # 5 * 7 + 3 and 6 * 7 + 3
    assert [(call.key, call.effect) for call in calls] == [
        ("one", ("PUT", "/effect/a", '{"n":5}')),
        ("", ("GET", "/effect/b?n=6", "")),
    ]
    assert all(0 < call.started_at <= call.ended_at and not call.cut for call in calls)


async def test_a_caller_that_leaves_before_the_answer_is_noticed(tmp_path: Path) -> None:
    async with running_effects(tmp_path / "log") as server:
        await server.set_latency(60_000, 60_000)
        async with httpx2.AsyncClient(trust_env=False, timeout=0.5) as client:
            with pytest.raises(httpx2.ReadTimeout):
                await client.get(f"{server.url}/effect/a", params={"n": 1})

        async def has_ended() -> bool:
            return (await server.calls())[0].ended_at > 0

        await eventually(has_ended, 30)  # well before the answer would have been due
        (call,) = await server.calls()
    assert call.cut


def test_answers_stay_small() -> None:
    assert answer_to(1_000_003) == 3


async def test_a_caller_that_dies_before_its_body_has_had_no_effect(tmp_path: Path) -> None:
    async with running_effects(tmp_path / "log") as server:
        port = int(server.url.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"PUT /effect/a HTTP/1.1\r\nhost: a\r\nidempotency-key: one\r\ncontent-length: 7\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.3)  # the headers must be read before the end of the connection is
        writer.close()
        await server.set_latency(0, 1)
        async with httpx2.AsyncClient(trust_env=False) as client:
            await client.put(f"{server.url}/effect/a", json={"n": 5}, headers={"idempotency-key": "one"})
        calls = await server.calls()
    assert [call.body for call in calls] == ['{"n":5}']
