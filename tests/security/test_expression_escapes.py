"""Expressions that reach for the worker: its files, its environment, its network, its processes."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path

import pytest

from engine.errors import EXPRESSION_ERROR, NodeError
from engine.expressions import Evaluator, Request, compile_expression
from tests.engine.nodes.integration.loopback import Call, answer, serving
from tests.security.corpora import texts

SECRET = "canary-9d1f4c"
SCOPE = {"input": {"s": "text", "n": 1}, "vars": {}, "nodes": {}, "execution": {"id": "x"}}
ALL = texts("expressions.txt")
PARTS = 4
MARK = "STRUCTFORGE_CANARY"


async def outcome(evaluator: Evaluator, source: str) -> object:
    try:
        expression = compile_expression(source)
    except NodeError as error:
        return error
    return (await evaluator.evaluate([Request(expression, SCOPE)]))[0]


def test_corpus_is_large_enough() -> None:
    assert len(ALL) >= 150


@pytest.mark.parametrize("part", range(PARTS))
async def test_no_expression_touches_files_environment_or_network(
    part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    monkeypatch.setenv(MARK, SECRET)  # before the sandbox's processes begin

    async def note(call: Call) -> bytes:
        return answer(200, SECRET.encode())

    async with serving(note) as server, Evaluator(processes=2, timeout_s=0.1, memory_bytes=32 << 20) as evaluator:
        given = {"FILE": str(secret), "FOLDER": str(tmp_path), "ENV": MARK, "PORT": str(server.port)}
        sources = [_filled(payload, given) for payload in ALL[part::PARTS]]
        async with asyncio.timeout(120):
            outcomes = await asyncio.gather(*(outcome(evaluator, source) for source in sources))
        alive = await outcome(evaluator, "input.n + 1")

    told = [source for source, one in zip(sources, outcomes, strict=True) if SECRET in _shown(one)]
    assert told == []
    assert server.calls == []
    assert os.listdir(tmp_path) == ["secret.txt"]
    assert secret.read_text() == SECRET
    codes = Counter(one.code for one in outcomes if isinstance(one, NodeError))
    assert set(codes) == {EXPRESSION_ERROR}
    harmless = [source for source, one in zip(sources, outcomes, strict=True) if not isinstance(one, NodeError)]
    assert len(harmless) <= len(sources) * 0.15, harmless  # data, such as the text of a type
    assert alive == 2


def _filled(payload: str, given: dict[str, str]) -> str:
    for name, value in given.items():
        payload = payload.replace(name, value)
    return payload


def _shown(one: object) -> str:
    return f"{one.message} {one.details}" if isinstance(one, NodeError) else repr(one)
