"""The corpus against the isolated Python: nothing passes, everything ends in time, nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from engine.activities.clients.isolated_python import IsolatedPython
from engine.expressions import Evaluator, Request, compile_expression
from engine.nodes.scripting.ports import ScriptRequest
from tests.security.scripts.corpus import LIMIT_S, attempt, attempt_all, payloads_of
from tests.security.scripts.cpython_payloads import CALL, PAYLOADS, SYSTEM_CALLS
from tests.security.scripts.isolation import skip_without_isolation

pytestmark = skip_without_isolation()
ALL = payloads_of(PAYLOADS)
PARTS = 8


def system_call_payloads() -> dict[str, str]:
    """A script for each system call that this architecture has."""
    import pyseccomp

    numbers = {name: pyseccomp.resolve_syscall(pyseccomp.system_arch(), name) for name in SYSTEM_CALLS.split()}
    return {
        name: CALL.replace("NUMBER", str(number)).replace("NAME", name)
        for name, number in numbers.items()
        if number >= 0
    }


def test_corpus_is_large_enough() -> None:
    assert len(set(ALL)) >= 60


@pytest.mark.parametrize("part", range(PARTS))
async def test_no_hostile_script_passes_and_each_ends_in_time(part: int) -> None:
    python = IsolatedPython()
    attempts = await attempt_all(python, ALL[part::PARTS])
    assert [one for one in attempts if not one.is_stopped] == []
    assert [one for one in attempts if one.took_s > LIMIT_S + 8] == []
    request = ScriptRequest(code="1 + 1", input=None, timeout_s=30, memory_bytes=64_000_000)
    assert (await python.run(request)).value == 2


async def test_dangerous_system_calls_are_refused_by_the_filter() -> None:
    calls = system_call_payloads()
    assert len(calls) > 50
    attempts = await attempt_all(IsolatedPython(), [*calls.values()])
    assert [one.outcome for one in attempts if not one.is_stopped] == []
    answered = [getattr(one.outcome, "details", {}).get("type") for one in attempts]
    assert answered == ["PermissionError"] * len(calls)


async def test_secrets_of_the_worker_are_nowhere_to_be_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STRUCTFORGE_CANARY_SECRET", "canary-in-environment")
    (tmp_path / "secret").write_text("canary-in-file")
    code = f"""
import os
found = []
for folder, folders, files in os.walk('/'):
    for name in files:
        path = os.path.join(folder, name)
        if name in ('environ', 'secret', 'credentials.yaml', 'shadow', 'cmdline'):
            found.append(path)
[found, [k for k in os.environ if 'CANARY' in k], os.path.exists({str(tmp_path)!r}), os.path.exists({os.getcwd()!r})]
"""
    request = ScriptRequest(code=code, input=None, timeout_s=30, memory_bytes=64_000_000)
    assert (await IsolatedPython().run(request)).value == [[], [], False, False]


async def test_expressions_of_others_stay_prompt_beside_hostile_scripts() -> None:
    spin = "import threading\ndef f():\n    while True: pass\nthreading.Thread(target=f, daemon=True).start()\nf()"
    hostile = [spin, "x = []\nwhile True: x.append(' ' * 1000)", "while True: print('x' * 1000)"]
    async with Evaluator(processes=1) as evaluator:
        python = IsolatedPython()
        runs = [
            asyncio.ensure_future(attempt(python, code, owner=str(number))) for number, code in enumerate(hostile * 2)
        ]
        waits: list[float] = []
        request = Request(compile_expression("sum([1, 2]) * 2"), {})
        while not all(run.done() for run in runs):
            started = time.perf_counter()
            assert await evaluator.evaluate([request]) == [6]
            waits.append(time.perf_counter() - started)
            await asyncio.sleep(0.01)
    assert sorted(waits)[len(waits) // 2] < 0.25
