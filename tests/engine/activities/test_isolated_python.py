"""Scripts in a real Python behind bubblewrap."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.activities.clients.isolated_python import IsolatedPython
from engine.activities.clients.isolation import inner
from engine.errors import NodeError
from engine.nodes.scripting.ports import ScriptRequest, ScriptResult
from tests.security.scripts.isolation import skip_without_isolation

pytestmark = skip_without_isolation()


def request(code: str, data: Any = None, **changes: Any) -> ScriptRequest:
    options: dict[str, Any] = {"timeout_s": 5, "memory_bytes": 64_000_000, **changes}
    return ScriptRequest(code=code, input=data, **options)


async def value(code: str, data: Any = None, **changes: Any) -> Any:
    return (await IsolatedPython().run(request(code, data, **changes))).value


async def error(code: str, **changes: Any) -> NodeError:
    with pytest.raises(NodeError) as caught:
        await IsolatedPython().run(request(code, **changes))
    return caught.value


@pytest.mark.parametrize(
    ("code", "expected", "printed"),
    [
        ("print('é')\ninput['n'] + 1", 3, "é\n"),
        ("result = [input]", [{"n": 2}], ""),
        ("import sys\nprint('a', file=sys.stderr)\nsys.exit(0)", None, "a\n"),
        ("import sys\nresult = 5\nsys.exit()", 5, ""),
        ("import os\nos.write(1, b'raw')\nNone", None, "raw"),
        ("def g():\n    yield from [1, 2]\nlist(g())", [1, 2], ""),
        ("# nothing", None, ""),
        ("x = 3\ndel x", None, ""),
    ],
)
async def test_result_and_what_it_printed(code: str, expected: Any, printed: str) -> None:
    assert await IsolatedPython().run(request(code, {"n": 2})) == ScriptResult(expected, printed)


async def test_the_standard_library_is_there() -> None:
    code = """
import asyncio, ctypes, decimal, hashlib, lzma, sqlite3, ssl, statistics, tempfile, threading, zlib, zoneinfo
from concurrent.futures import ThreadPoolExecutor
async def later():
    await asyncio.sleep(0.01)
    return zoneinfo.ZoneInfo('Europe/Zurich').key
with tempfile.NamedTemporaryFile('w+') as file:
    file.write('kept')
    file.seek(0)
    kept = file.read()
with ThreadPoolExecutor(3) as pool:
    squares = list(pool.map(lambda n: n * n, range(4)))
database = sqlite3.connect(':memory:')
[asyncio.run(later()), kept, squares, database.execute('select 1 + 1').fetchone()[0], statistics.mean([1, 3])]
"""
    assert await value(code) == ["Europe/Zurich", "kept", [0, 1, 4, 9], 2, 2]


async def test_large_data_goes_both_ways() -> None:
    data = ["x" * 100] * 20_000
    assert await value("input + input", data, memory_bytes=200_000_000) == data + data


@pytest.mark.parametrize(
    ("code", "kind", "line"),
    [
        ("x = 1\n1 / 0", "EXECUTION_FAILED", 2),
        ("def f():\n    return g()\ndef g():\n    raise KeyError('k')\nf()", "EXECUTION_FAILED", 4),
        ("import json\njson.loads('{')", "EXECUTION_FAILED", 2),
        ("import sys\nsys.exit(3)", "EXECUTION_FAILED", 2),
        ("eval('1 +')", "EXECUTION_FAILED", 1),
        ("{1}", "EXECUTION_FAILED", None),
        ("x = (", "EXPRESSION_ERROR", None),
        ("[0] * 10 ** 9", "RESOURCE_EXHAUSTED", None),
        ("import os\nos._exit(4)", "EXECUTION_FAILED", None),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "EXECUTION_FAILED", None),
        ("import time\ntime.sleep(60)", "TIMEOUT", None),
    ],
)
async def test_failures_have_a_code_and_their_line(code: str, kind: str, line: int | None) -> None:
    found = await error(code, timeout_s=0.5)
    assert (found.code, found.details.get("line")) == (kind, line)


async def test_lines_printed_before_the_end_are_kept() -> None:
    found = await error("print('before')\nimport time\ntime.sleep(60)", timeout_s=0.5)
    assert found.details["printed"] == "before\n"


async def test_results_that_a_script_forges_are_its_own_word_and_checked() -> None:
    find = (
        "import os\nfor n in range(3, 1024):\n    try:\n        os.write(n, DATA)\n    except OSError:\n        pass\n"
    )
    forged = find.replace("DATA", """b'{"result": "[1]"}'""") + "os._exit(0)"
    assert await value(forged) == [1]
    deep = find.replace("DATA", "b'[' * 100000") + "os._exit(0)"
    assert (await error(deep)).code == "EXECUTION_FAILED"
    twice = find.replace("DATA", """b'{"result": "[1]"}'""") + "2"
    assert (await error(twice)).code == "EXECUTION_FAILED"
    nested = "x = []\nfor _ in range(150): x = [x]\nx"
    assert "deep" in (await error(nested)).message


async def test_nothing_of_the_worker_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "canary")
    code = """
import os, sys
seen = []
for number in range(256):
    try:
        os.fstat(number)
        seen.append(number)
    except OSError:
        pass
[sorted(os.environ), len(seen), sys.argv, os.listdir('/tmp'), os.getcwd(), sys.flags.isolated]
"""
    names, descriptors, argv, files, folder, isolated = await value(code)
    assert "SECRET" not in names
    assert (descriptors, argv, files, folder, isolated) == (4, [inner.SCRIPT], [], "/tmp", 1)


async def test_it_is_no_root_whoever_runs_the_worker() -> None:
    assert await value("import os\n[os.getuid() == 0, os.geteuid() == 0, os.getgid() == 0, os.getgroups()]") in (
        [False, False, False, []],
        [False, False, False, [65534]],
    )


async def test_two_scripts_see_nothing_of_each_other() -> None:
    python = IsolatedPython()
    await python.run(request("open('/tmp/left', 'w').write('x')"))
    assert (await python.run(request("import os\nos.listdir('/tmp')"))).value == []


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what other processes do."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def isolated_processes() -> Iterator[psutil.Process]:
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it may end meanwhile
            if process.name() in ("bwrap",) or inner.SCRIPT in " ".join(process.cmdline()):
                yield process


def runs(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.parametrize("how", ["timeout", "cancel"])
async def test_no_process_is_left(how: str) -> None:
    running = asyncio.ensure_future(
        IsolatedPython().run(request("import time\ntime.sleep(60)", timeout_s=1 if how == "timeout" else 60))
    )
    await until(lambda: len([*isolated_processes()]) >= 2)
    found = [*isolated_processes()]
    if how == "cancel":
        running.cancel()
    await asyncio.wait([running])
    await until(lambda: not any(runs(one) for one in found))


WORKER = """
import asyncio
from engine.activities.clients.isolated_python import IsolatedPython
from engine.nodes.scripting.ports import ScriptRequest

request = ScriptRequest(code="import time; time.sleep(60)", input=None, timeout_s=60, memory_bytes=64_000_000)
asyncio.run(IsolatedPython().run(request))
"""


async def test_script_dies_with_a_worker_that_is_killed() -> None:
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER)
    await until(lambda: len([*isolated_processes()]) >= 2)
    found = [*isolated_processes()]
    worker.kill()
    await worker.wait()
    await until(lambda: not any(runs(one) for one in found))


async def test_descriptors_are_given_back() -> None:
    python = IsolatedPython()
    await python.run(request("1"))
    before = len(os.listdir("/proc/self/fd"))
    for code in ("1", "1 / 0", "while True: print('x' * 10000)"):
        for _ in range(3):
            with suppress(NodeError):
                await python.run(request(code))
    await until(lambda: len(os.listdir("/proc/self/fd")) <= before)


async def test_one_execution_leaves_room_for_others() -> None:
    python = IsolatedPython(size=2)
    slow = [
        asyncio.ensure_future(python.run(request("import time\ntime.sleep(60)", timeout_s=90, owner="a")))
        for _ in range(3)
    ]
    await asyncio.sleep(0)
    started = time.perf_counter()
    assert (await python.run(request("1", owner="b"))).value == 1
    assert time.perf_counter() - started < 30
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


async def test_without_bubblewrap_it_says_so() -> None:
    with pytest.raises(NodeError) as caught:
        await IsolatedPython(program="no-such-bwrap").run(request("1"))
    assert (caught.value.code, "bubblewrap" in caught.value.message) == ("INVALID_CONFIG", True)


async def test_kernel_that_forbids_namespaces_is_named(tmp_path: Path) -> None:
    """As bubblewrap says it where user namespaces are off."""
    program = tmp_path / "bwrap"
    program.write_text(
        "#!/bin/sh\necho 'bwrap: No permissions to create new namespace, likely because the kernel does not allow "
        "non-privileged user namespaces.' >&2\nexit 1\n"
    )
    program.chmod(0o755)
    with pytest.raises(NodeError) as caught:
        await IsolatedPython(program=str(program)).run(request("1"))
    assert caught.value.code == "INVALID_CONFIG"
    assert "the kernel does not let this user isolate a process" in caught.value.message


async def test_without_a_tmp_there_is_no_writable_place() -> None:
    python = IsolatedPython(tmp_bytes=0)
    code = "try:\n    open('/tmp/x', 'w')\nexcept OSError as error:\n    result = error.errno"
    assert (await python.run(request(code))).value in (13, 30)
