"""One mutant in a process of its own: forked, so that third-party libraries are loaded once for all mutants.

Nothing is written to disk: the process loads the changed module in place of the one in the tree.
"""

from __future__ import annotations

import ast
import importlib
import os
import pickle
import resource
import signal
import sys
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from tests.mutation.targets import ROOT

LIBRARIES = """
    pytest hypothesis pytest_asyncio pydantic pydantic_settings sqlalchemy sqlmodel asyncpg redis fastapi temporalio
    temporalio.client temporalio.worker cryptography.hazmat.primitives.ciphers.aead orjson httpx2 joserfc.jwt yaml
    jsonschema pydantic_monty openai google.genai faststream obstore structlog typer rich
"""
KILLED, SURVIVED, BROKEN = "killed", "survived", "broken"
_MEMORY_BYTES = 4 << 30
_TAIL_CHARS = 3000


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the tests took it, and how long that was in seconds of processor and of clock."""

    word: str
    cpu_s: float
    wall_s: float
    tail: str = ""


def load_libraries() -> None:
    """Load what every trial needs. The application itself is loaded by each, for it may be what is changed."""
    for name in LIBRARIES.split():
        importlib.import_module(name)
    loaded = [name for name in sys.modules if name.partition(".")[0] in ("engine", "models", "api")]
    assert not loaded, f"what is mutated must not be loaded beforehand: {loaded[:5]}"


def start(
    tests: Sequence[str], source: Path | None, tree: ast.Module | None, servers: Path | None, cpu_s: float
) -> Running:
    """Fork a process that runs the tests with `tree` in place of the module `source` (neither: all as it is)."""
    output = Path(f"/tmp/structforge-mutation-{os.getpid()}-{time.monotonic_ns()}")
    pid = os.fork()
    if pid == 0:
        _in_child(lambda: _run(tests, source, tree, servers), output, cpu_s, bounded=servers is None)
    return Running(pid, output, time.monotonic())


@dataclass(slots=True)
class Running:
    """A trial under way."""

    pid: int
    output: Path
    began: float

    def wait(self, limit_s: float) -> Verdict:
        """The verdict; a trial that hangs is ended, and whatever it started with it. Blocks."""
        while True:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - self.began > limit_s:
                _end(self.pid)
            time.sleep(0.02)
        _end(self.pid)
        tail = self.output.read_text(errors="replace")[-_TAIL_CHARS:] if self.output.exists() else ""
        self.output.unlink(missing_ok=True)
        return Verdict(_word(status), usage.ru_utime + usage.ru_stime, time.monotonic() - self.began, tail)


def _word(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    # 4 and 5: pytest was called wrongly or found no tests, which tells nothing of the mutant.
    return SURVIVED if code == 0 else BROKEN if code in (4, 5) else KILLED


def _end(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _in_child(work: Callable[[], int], output: Path, cpu_s: float, *, bounded: bool) -> None:
    code = 3
    try:
        os.setsid()
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, 1)
        os.dup2(file, 2)
        resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_s) + 1, int(cpu_s) + 2))  # a loop without end
        if bounded:
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        code = work()
    except BaseException as error:
        print(f"the trial failed: {error!r}", flush=True)
    finally:
        os._exit(code)


def _run(tests: Sequence[str], source: Path | None, tree: ast.Module | None, servers: Path | None) -> int:
    import pytest

    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    sys.dont_write_bytecode = True
    if source is not None and tree is not None:
        name = ".".join(source.relative_to(ROOT).with_suffix("").parts)
        sys.meta_path.insert(0, _Finder(name, compile(tree, str(source), "exec")))
    arguments = ["-x", "-q", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:schemathesis", *tests]
    if servers is not None:
        _use(servers)
    else:
        _keep_steady()
        arguments.insert(0, "--noconftest")
    return int(pytest.main(arguments))


def _keep_steady() -> None:
    """What `tests/conftest.py` would set, without all that it loads."""
    import hypothesis

    anything: Any = {"deadline": None, "suppress_health_check": [*hypothesis.HealthCheck]}
    hypothesis.settings.register_profile("mutation", derandomize=True, database=None, **anything)
    hypothesis.settings.load_profile("mutation")


def _use(servers: Path) -> None:
    """Make the tests use servers that run already, in place of some that they would start."""
    from tests.engine.workflows import lab

    settings = pickle.loads(servers.read_bytes())  # of our own process, see `tests.mutation.servers`

    @asynccontextmanager
    async def running() -> AsyncGenerator[Any]:
        yield settings

    lab.open_servers = running


class _Finder(MetaPathFinder):
    def __init__(self, name: str, code: CodeType) -> None:
        self._name, self._loader = name, _Changed(code)

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        return spec_from_loader(fullname, self._loader) if fullname == self._name else None


class _Changed(Loader):
    def __init__(self, code: CodeType) -> None:
        self._code = code

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, module.__dict__)
