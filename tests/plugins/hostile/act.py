"""A node type that does everything that a node must not do."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import time
from typing import Any, Literal

from pydantic import Field

from structforge.plugin import HttpRequest, NodeContext, NodeError, NodeParams, NodeResult, node, required

Deed = Literal[
    "exit", "segfault", "leak", "leak_later", "loop", "sleep", "fail", "error", "print", "echo", "http", "write", "big",
    "variables", "pid", "log", "tell", "set", "system_exit",
]  # fmt: skip
KEPT: list[bytearray] = []


class ActParams(NodeParams):
    """Do a deed."""

    deed: Deed = Field(description="What to do")
    text: str = Field(default="", max_length=50_000_000, description="What to do it with")
    count: int | None = Field(default=None, ge=1, description="How often")
    tags: list[str] = Field(default_factory=list, description="Names")


@node("hostile.act", category="tool", kind="io", examples=[{"title": "Echo", "params": {"deed": "echo", "text": "x"}}])
async def act(params: ActParams, context: NodeContext) -> NodeResult:
    return NodeResult(await _deed(params, context))


async def _deed(params: ActParams, context: NodeContext) -> Any:
    match params.deed:
        case "exit":
            os._exit(3)
        case "segfault":
            ctypes.string_at(0)
        case "leak":
            while True:
                KEPT.append(bytearray(1_000_000))
        case "leak_later":
            KEPT.append(bytearray((params.count or 1) * 1_000_000))
        case "loop":
            while True:
                pass
        case "sleep":
            await asyncio.sleep(60)
        case "tell":
            secret = (context.credential or {}).get("password")
            context.log("info", f"it is {secret}")
            if params.count:
                raise ValueError(secret)
            return {"secret": f"postgresql://me:{secret}@host"}
        case "fail":
            raise NodeError(
                "refused", code="EXTERNAL_ERROR", details={"status": 503}, retryable=True, retry_after_s=0.01
            )  # fmt: skip
        case "error":
            raise KeyError("missing")
        case "system_exit":
            sys.exit(4)
        case "set":
            return {1, 2}
        case "print":
            print("printed", flush=True)
        case "http":
            answer = await required(context.ports.http, "HTTP").send(HttpRequest(method="GET", url=params.text))
            return [answer.status, answer.content.decode()]
        case "write":
            return await required(context.ports.files, "files").write("another-tenant", params.text, b"\x00\xff")
        case "big":
            return "x" * 140_000_000
        case "variables":
            return sorted(os.environ)
        case "log":
            context.log("warning", "noted", when=time.time() > 0, signal=signal.SIGTERM)
        case _:
            pass
    return {"text": params.text, "pid": os.getpid(), "key": context.idempotency_key, "attempt": context.attempt}
