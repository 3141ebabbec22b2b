"""Servers for all trials of a run: started once, their settings left in a file until standard input ends."""

from __future__ import annotations

import asyncio
import pickle
import sys
from pathlib import Path

from tests.engine.workflows.lab import open_servers


async def serve(place: Path) -> None:
    async with open_servers() as settings:
        draft = place.with_suffix(".draft")
        draft.write_bytes(pickle.dumps(settings))
        draft.replace(place)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
