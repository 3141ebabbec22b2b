"""The corpus against the sandboxed interpreter: nothing passes, everything ends in time, others are not slowed."""

from __future__ import annotations

import asyncio
import time

import pytest

from engine.expressions import Evaluator, Request, compile_expression
from engine.expressions.script_pool import ScriptPool
from engine.nodes.scripting.ports import ScriptRequest, ScriptResult
from engine.nodes.scripting.runtimes import MontyScripts
from tests.security.scripts.corpus import LIMIT_S, attempt, attempt_all, payloads_of
from tests.security.scripts.monty_payloads import PAYLOADS

ALL = payloads_of(PAYLOADS)
PARTS = 8


def test_corpus_is_large_enough() -> None:
    assert len(set(ALL)) >= 60


@pytest.mark.parametrize("part", range(PARTS))
async def test_no_hostile_script_passes_and_each_ends_in_time(part: int) -> None:
    async with ScriptPool(processes=2) as pool:
        runtime = MontyScripts(pool)
        attempts = await attempt_all(runtime, ALL[part::PARTS])
        assert [one for one in attempts if not one.is_stopped] == []
        assert [one for one in attempts if one.took_s > LIMIT_S + 8] == []
        assert await runtime.run(ScriptRequest(code="1 + 1", input=None, timeout_s=10, memory_bytes=10**7)) == (
            ScriptResult(2, "")
        )


async def test_expressions_of_others_stay_prompt_beside_hostile_scripts() -> None:
    async with ScriptPool(processes=4) as pool, Evaluator(processes=1) as evaluator:
        hostile = ["while True: pass", "x = []\nwhile True: x.append(' ' * 1000)", "while True: print('x' * 1000)"]
        runs = [
            asyncio.ensure_future(attempt(MontyScripts(pool), code, owner=str(number)))
            for number, code in enumerate(hostile * 2)
        ]
        waits: list[float] = []
        request = Request(compile_expression("sum([1, 2]) * 2"), {})
        while not all(run.done() for run in runs):
            started = time.perf_counter()
            assert await evaluator.evaluate([request]) == [6]
            waits.append(time.perf_counter() - started)
            await asyncio.sleep(0.01)
    assert sorted(waits)[len(waits) // 2] < 0.25
