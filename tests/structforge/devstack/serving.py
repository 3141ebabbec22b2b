"""Holds an embedded stack in a process of its own: prints its addresses as one JSON line, then serves until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path

from structforge.devstack import EmbeddedStack
from tests.structforge.devstack.conftest import settings_for


async def serve(data_dir: Path) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    stack = EmbeddedStack(settings_for(data_dir))
    with contextlib.suppress(asyncio.CancelledError):
        async with stack as endpoints:
            print(json.dumps({"pids": stack.pids, "owner_url": endpoints.owner_url}), flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
