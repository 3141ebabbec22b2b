"""The process of an isolated plugin: `python -m engine.nodes.plugins.child`, run by the plugin's own interpreter.

It needs this package, pydantic and what the plugin needs; it sees no settings, no database and no Temporal. It runs one
node at a time and dies with its worker. What it may do outside goes back to the worker (`http`, `files`) or is the
plugin's own affair.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import itertools
import json
import os
import platform
import resource
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from engine.errors import EXECUTION_FAILED, OUTPUT_TOO_LARGE, RESOURCE_EXHAUSTED, NodeError
from engine.nodes.context import LogLevel, NodeContext, NodeResult
from engine.nodes.node_type import NodeType
from engine.nodes.plugins.description import describe
from engine.nodes.plugins.frames import FrameTooLarge, pack, read_frame
from engine.nodes.plugins.loading import load_types
from engine.nodes.plugins.manifest import PluginFault, read_manifest
from engine.nodes.ports import Ports

PR_SET_PDEATHSIG = 1
RETIRES_AT = 0.75  # of the limit: a process that leaks is replaced before it fails a node that did nothing wrong


class _Remote:
    """A port of the worker: each method call is a message there and back."""

    def __init__(self, child: Child, port: str) -> None:
        self._child = child
        self._port = port

    def __getattr__(self, method: str) -> Any:
        async def call(*arguments: Any, **named: Any) -> Any:
            return await self._child.call(self._port, method, arguments, named)

        return call


class Child:
    """Serves the worker at the other end of the socket."""

    def __init__(
        self, types: Mapping[str, NodeType], reader: asyncio.StreamReader, writer: asyncio.StreamWriter, memory: int
    ) -> None:
        self._types = types
        self._reader = reader
        self._writer = writer
        self._memory_bytes = memory
        self._numbers = itertools.count()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._running: asyncio.Task[None] | None = None
        self._ports = Ports(http=cast("Any", _Remote(self, "http")), files=cast("Any", _Remote(self, "files")))

    async def serve(self) -> None:
        """Until the worker closes its end."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self._take(await read_frame(self._reader))

    def _take(self, message: dict[str, Any]) -> None:
        if "run" in message:
            self._running = asyncio.get_running_loop().create_task(self._run(message["run"]))
        elif "answer" in message:
            number, result, error = message["answer"]
            future = self._answers.pop(number)
            if error is not None:
                future.set_exception(_node_error(error))
            else:
                future.set_result(result)

    async def call(self, port: str, method: str, arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
        number = next(self._numbers)
        future = self._answers[number] = asyncio.get_running_loop().create_future()
        self._send({"call": [number, port, method, list(arguments), dict(named)]})
        return await future

    async def _run(self, request: dict[str, Any]) -> None:
        retire = False
        try:
            message = {"done": await self._execute(request)}
            frame = pack(message)
        except MemoryError:
            retire = True
            error = NodeError("the node ran out of memory", code=RESOURCE_EXHAUSTED)
            frame = pack({"failed": error.as_dict()})
        except FrameTooLarge as error:
            frame = pack({"failed": NodeError(f"the output has {error}", code=OUTPUT_TOO_LARGE).as_dict()})
        except NodeError as error:
            frame = pack({"failed": {**error.as_dict(), "retry_after_s": error.retry_after_s}})
        except Exception as error:
            frame = pack({"failed": unexpected(error).as_dict()})
        if retire or self._is_nearly_full():
            self._send({"retire": True})
        self._writer.write(frame)

    async def _execute(self, request: dict[str, Any]) -> dict[str, Any]:
        node_type = self._types[request["type"]]
        given: dict[str, Any] = request["context"]
        given["iteration"] = tuple(given["iteration"])
        context = NodeContext(**given, ports=self._ports, log_sink=self._log)
        return _result_wire(await node_type.execute(node_type.parse_params(request["params"]), context))

    def _log(self, level: LogLevel, message: str, more: Mapping[str, Any]) -> None:
        self._send({"log": [level, message, json.loads(json.dumps(dict(more), default=str))]})

    def _send(self, message: dict[str, Any]) -> None:
        self._writer.write(pack(message))

    def _is_nearly_full(self) -> bool:
        try:
            pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        except OSError:
            return False  # no such file system here: the limit alone holds
        return pages * resource.getpagesize() > RETIRES_AT * self._memory_bytes


def unexpected(error: BaseException) -> NodeError:
    """An error that the node did not raise on purpose."""
    text = f"{type(error).__name__}: {error}"[:2000]
    return NodeError(f"the node failed unexpectedly: {text}", code=EXECUTION_FAILED)


def _result_wire(result: NodeResult) -> dict[str, Any]:
    return {
        "output": result.output,
        "port": result.port,
        "port_data": result.port_data,
        "has_port_data": result.has_port_data,
        "passes_upstream": result.passes_upstream,
    }


def _node_error(error: dict[str, Any]) -> NodeError:
    return NodeError(
        error["message"],
        code=error["code"],
        details=error["details"],
        retryable=error["retryable"],
        retry_after_s=error.get("retry_after_s"),
    )


def _die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


async def _serve(arguments: argparse.Namespace) -> None:
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=arguments.socket))
    source = read_manifest(Path(arguments.manifest))
    try:
        types = load_types(source)
        ready = describe(source, types, python=platform.python_version())
    except PluginFault as fault:
        writer.write(pack({"fault": [fault.message, fault.hint]}))
        await writer.drain()
        return
    writer.write(pack({"ready": ready}))
    await Child({item.type: item for item in types}, reader, writer, arguments.memory).serve()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--manifest", required=True)
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--memory", type=int, required=True, help="bytes of address space")
    arguments = parser.parse_args()
    _die_with_parent(arguments.parent)
    resource.setrlimit(resource.RLIMIT_AS, (arguments.memory, arguments.memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    asyncio.run(_serve(arguments))


if __name__ == "__main__":
    main()
