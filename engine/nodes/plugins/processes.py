"""The processes of isolated plugins in one worker: started as they are needed, kept warm, killed when they misbehave.

A process runs one node execution at a time, so that one that crashes, leaks or loops takes nothing else with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import structlog

import engine
from engine.errors import EXECUTION_FAILED, INVALID_CONFIG, OUTCOME_UNKNOWN, RESOURCE_EXHAUSTED, TIMEOUT, NodeError
from engine.nodes.context import NodeContext, NodeResult
from engine.nodes.plugins.frames import FrameTooLarge, pack, read_frame
from engine.nodes.plugins.manifest import PluginFault, PluginSource
from engine.nodes.ports import FilePort

logger = structlog.get_logger(__name__)
START_TIMEOUT_S = 60.0
MAX_LINE_BYTES = 65_536
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE")
_FILE_METHODS = frozenset(name for name in vars(FilePort) if not name.startswith("_"))


class PluginGone(Exception):
    """The process ended while it had work; `how` says with what exit code or signal."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how


class PluginProcess:
    """One process of a plugin, with its types loaded."""

    def __init__(self, source: PluginSource) -> None:
        self.source = source
        self.description: dict[str, Any] = {}
        self.retired = False
        self.last_lines: deque[str] = deque(maxlen=20)
        self._process: asyncio.subprocess.Process | None = None
        self._printing: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None and not self.retired

    async def start(self) -> None:
        """Raises: PluginFault if the code does not load, the interpreter is not there, or it takes too long."""
        ours, theirs = socket.socketpair()
        try:
            await self._spawn(theirs.fileno())
            self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=1 << 20)
        except OSError as error:
            ours.close()
            raise PluginFault(f"{_python(self.source)} cannot be run: {error.strerror}", _PYTHON_HINT) from None
        finally:
            theirs.close()
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._greet()
        except TimeoutError:
            raise PluginFault(f"its code did not load within {START_TIMEOUT_S:g} s") from None

    async def _spawn(self, descriptor: int) -> None:
        environment = self.source.manifest.environment
        arguments = ["--manifest", str(self.source.path), "--socket", str(descriptor), "--parent", str(os.getpid())]
        self._process = await asyncio.create_subprocess_exec(
            *(_python(self.source), "-P", "-m", "engine.nodes.plugins.child", *arguments),
            *("--memory", str(environment.memory_mb * 1024 * 1024)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=self.source.folder,
            env=_environment(environment.variables),
            pass_fds=(descriptor,),
            start_new_session=True,
            limit=MAX_LINE_BYTES,
        )
        self._printing = asyncio.get_running_loop().create_task(self._pass_on_output())

    async def _greet(self) -> None:
        try:
            message = await read_frame(self._reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            how = await self._ending()
            last = next((line for line in reversed(self.last_lines) if line.strip()), "")
            hint = _PYTHON_HINT if "No module named" in last else "its output is in the worker's log"
            raise PluginFault(f"its process ended while it started ({how}) {last}".rstrip(), hint) from None
        if "fault" in message:
            raise PluginFault(*message["fault"])
        self.description = message["ready"]

    async def run(self, type_name: str, params: dict[str, Any], context: NodeContext) -> dict[str, Any]:
        """The message that ends one node execution: `done` or `failed`.

        Raises: PluginGone if the process ends first; FrameTooLarge; TypeError for parameters that are no JSON data.
        """
        self._writer.write(pack({"run": {"type": type_name, "params": params, "context": _context_wire(context)}}))
        calls: set[asyncio.Task[None]] = set()
        try:
            while True:
                message = await read_frame(self._reader)
                if "done" in message or "failed" in message:
                    return message
                if "call" in message:
                    calls.add(asyncio.get_running_loop().create_task(self._answer(message["call"], context)))
                elif "log" in message:
                    level, text, fields = message["log"]
                    context.log(level, text, **fields)
                elif "retire" in message:
                    self.retired = True
        except (asyncio.IncompleteReadError, ConnectionError):
            raise PluginGone(await self._ending()) from None
        finally:
            for call in calls:
                call.cancel()

    async def _answer(self, call: list[Any], context: NodeContext) -> None:
        number, port, method, arguments, named = call
        try:
            frame = pack({"answer": [number, await _call_port(context, port, method, arguments, named), None]})
        except NodeError as error:
            frame = pack({"answer": [number, None, {**error.as_dict(), "retry_after_s": error.retry_after_s}]})
        except Exception as error:
            # Whatever it is, the node must have an answer: it would wait for one until its timeout.
            failure = NodeError(f"{port}.{method}: {type(error).__name__}: {error}")
            frame = pack({"answer": [number, None, failure.as_dict()]})
        with contextlib.suppress(ConnectionError):
            self._writer.write(frame)

    async def _pass_on_output(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while True:
            try:
                line = await self._process.stdout.readline()
            except ValueError:
                continue  # a line over the limit has been dropped
            if not line:
                return
            text = line.decode("utf-8", "replace").rstrip()
            self.last_lines.append(text[:500])
            logger.info("plugin output", plugin=self.source.name, pid=self.pid, line=text[:2000])

    async def _ending(self) -> str:
        assert self._process is not None
        try:
            async with asyncio.timeout(2):
                code = await self._process.wait()
                if self._printing is not None:
                    await asyncio.wait([self._printing], timeout=0.5)
        except TimeoutError:
            return "it closed its connection"
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    async def kill(self) -> None:
        """End it at once, with all that it started."""
        self.retired = True
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        if hasattr(self, "_writer"):
            self._writer.close()
        if self._printing is not None:
            self._printing.cancel()


class _Pool:
    """The processes of one plugin."""

    def __init__(self, source: PluginSource) -> None:
        self._source = source
        self._slots = asyncio.Semaphore(source.manifest.environment.processes)
        self._idle: list[PluginProcess] = []
        self.all: set[PluginProcess] = set()

    @contextlib.asynccontextmanager
    async def process(self) -> AsyncGenerator[PluginProcess]:
        """A process of one's own; one that retired, or was left in the middle of its work, is gone afterwards."""
        async with self._slots:
            process = await self._take()
            try:
                yield process
            except BaseException:
                process.retired = True
                raise
            finally:
                if process.alive:
                    self._idle.append(process)
                else:
                    await self._drop(process)

    async def _take(self) -> PluginProcess:
        while self._idle:
            process = self._idle.pop()
            if process.alive:
                return process
            await self._drop(process)
        process = PluginProcess(self._source)
        self.all.add(process)
        try:
            await process.start()
        except BaseException:
            await self._drop(process)
            raise
        return process

    async def _drop(self, process: PluginProcess) -> None:
        self.all.discard(process)
        # Killed even if the caller is being cancelled: a process that loops would never end by itself.
        await asyncio.shield(process.kill())


class PluginProcesses:
    """The processes of all isolated plugins of this worker; fulfils PluginPort."""

    def __init__(self) -> None:
        self._pools: dict[Path, _Pool] = {}

    async def run(
        self, source: PluginSource, type_name: str, params: dict[str, Any], context: NodeContext, *, idempotent: bool
    ) -> NodeResult:
        """See PluginPort.run."""
        pool = self._pools.setdefault(source.path, _Pool(source))
        # A little before the attempt's own end, so that the error says what happened to the process.
        own_s = context.deadline_s - min(0.5, context.deadline_s / 10)
        started = False
        try:
            async with asyncio.timeout(own_s), pool.process() as process:
                started = True
                message = await process.run(type_name, params, context)
        except TimeoutError:
            raise _too_late(source, own_s, started=started) from None
        except PluginFault as fault:
            message = f"the plugin {source.name} does not start: {fault.message}"
            raise NodeError(message, code=EXECUTION_FAILED, details={"hint": fault.hint}, retryable=True) from None
        except PluginGone as gone:
            raise _gone(source, gone, idempotent=idempotent) from None
        except (FrameTooLarge, TypeError, ValueError) as error:
            raise NodeError(f"the plugin {source.name}: {error}", code=INVALID_CONFIG) from None
        return _result(message)

    async def close(self) -> None:
        """Kill every process."""
        for pool in self._pools.values():
            for process in [*pool.all]:
                await process.kill()
        self._pools.clear()


async def describe_in_own_process(source: PluginSource) -> dict[str, Any]:
    """The description of an isolated plugin, made by its own interpreter. Raises: PluginFault."""
    process = PluginProcess(source)
    try:
        await process.start()
        return process.description
    finally:
        await process.kill()


_PYTHON_HINT = "name an interpreter in environment.python that has structforge installed"


def _python(source: PluginSource) -> str:
    named = source.manifest.environment.python
    # Not resolved: the interpreter of a virtual environment is a link, and what it links to has other packages.
    return sys.executable if named is None else str(source.folder / Path(named).expanduser())


def _environment(names: tuple[str, ...]) -> Mapping[str, str]:
    """Nothing of the worker's own but what the manifest names: its variables hold passwords."""
    chosen = {name: os.environ[name] for name in (*_INHERITED, *names) if name in os.environ}
    root = Path(engine.__file__).parent.parent
    # Run from a checkout: its modules are found there; an installation is in the plugin's own environment.
    return {**chosen, "PYTHONPATH": str(root)} if (root / "pyproject.toml").exists() else chosen


def _context_wire(context: NodeContext) -> dict[str, Any]:
    return {
        "tenant": context.tenant,
        "execution_id": context.execution_id,
        "node_path": context.node_path,
        "node_name": context.node_name,
        "iteration": list(context.iteration),
        "generation": context.generation,
        "attempt": context.attempt,
        "idempotency_key": context.idempotency_key,
        "upstream": context.upstream,
        "credential": None if context.credential is None else dict(context.credential),
        "deadline_s": context.deadline_s,
    }


async def _call_port(
    context: NodeContext, port: str, method: str, arguments: list[Any], named: Mapping[str, Any]
) -> Any:
    """What the plugin's node asks of the worker. The tenant is this execution's, whatever it says."""
    if port == "http" and method == "send" and context.ports.http is not None:
        return await context.ports.http.send(*arguments, **named)
    if port == "files" and method in _FILE_METHODS and context.ports.files is not None:
        more = {name: value for name, value in named.items() if name != "tenant"}
        rest = arguments if "tenant" in named else arguments[1:]
        return await getattr(context.ports.files, method)(context.tenant, *rest, **more)
    raise NodeError(f"this worker offers no {port}.{method} to plugins", code=INVALID_CONFIG)


def _result(message: dict[str, Any]) -> NodeResult:
    if "done" in message:
        return NodeResult(**message["done"])
    error = message["failed"]
    raise NodeError(
        str(error["message"]),
        code=str(error["code"]),
        details=error["details"],
        retryable=bool(error["retryable"]),
        retry_after_s=error.get("retry_after_s"),
    )


def _too_late(source: PluginSource, seconds: float, *, started: bool) -> NodeError:
    if started:
        message = f"the node did not end within {seconds:g} s; its process was killed"
        return NodeError(message, code=TIMEOUT, retryable=True)
    count = source.manifest.environment.processes
    message = f"no process of the plugin {source.name} was ready within {seconds:g} s: all {count} are busy or starting"
    return NodeError(message, code=RESOURCE_EXHAUSTED, retryable=True)


def _gone(source: PluginSource, gone: PluginGone, *, idempotent: bool) -> NodeError:
    message = f"the process of the plugin {source.name} ended while it ran the node ({gone.how})"
    if not idempotent:
        message += "; whether it took effect is not known"
    return NodeError(
        message,
        code=EXECUTION_FAILED if idempotent else OUTCOME_UNKNOWN,
        details={"plugin": source.name, "ended": gone.how},
        retryable=True,
    )
