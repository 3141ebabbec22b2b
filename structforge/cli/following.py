"""Following an execution to its end, whatever happens to the API in the meantime."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from engine.errors import SystemFault
from structforge.cli.terminal import err, is_live
from structforge.client import AsyncClient, ExecutionDetail, NodeExecutionReply
from structforge.progress import ENDED, Board, LineProgress, LiveProgress

_SHORTEST_S, _LONGEST_S = 0.05, 0.25
_PATIENCE_S = 60.0
_PAGE = 500
_MOST_ROWS_LIVE = 2000

View = LineProgress | LiveProgress


class Stop(Protocol):
    """Something that may ask for the end."""

    @property
    def asked(self) -> asyncio.Event: ...


def progress_of(board: Board) -> View:
    """The view that fits where stderr leads."""
    return LiveProgress(board, err()) if is_live() else LineProgress(board, err())


async def follow(client: AsyncClient, execution_id: str, view: View, stop: Stop | None = None) -> ExecutionDetail:
    """Show the execution until it has ended, or until `stop` asks; the last state seen.

    Raises: SystemFault if the API does not answer for a minute.
    """
    pause = _SHORTEST_S
    counts: Mapping[str, int] = {}
    while True:
        detail = await _patiently(client, execution_id)
        view.tell(detail.status)
        if detail.nodes != counts:
            counts, pause = detail.nodes, _SHORTEST_S
            if sum(counts.values()) <= _MOST_ROWS_LIVE or detail.status in ENDED:
                rows = sorted(await all_nodes(client, execution_id), key=_when)
                view.update([_row(reply) for reply in rows])
        if detail.status in ENDED or (stop is not None and stop.asked.is_set()):
            return detail
        pause = min(pause * 1.3, _LONGEST_S)
        await _wait(pause, stop)


async def all_nodes(client: AsyncClient, execution_id: str, *, full: bool = False) -> list[NodeExecutionReply]:
    """Every node execution, page by page."""
    return [row async for row in client.list_nodes.all(execution_id, full=full, limit=_PAGE)]


async def _patiently(client: AsyncClient, execution_id: str) -> ExecutionDetail:
    """The execution goes on while the API restarts, so a silence is no failure yet."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return await client.get_execution(execution_id)
        except SystemFault:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(2 * _LONGEST_S)


async def _wait(seconds: float, stop: Stop | None) -> None:
    if stop is None:
        await asyncio.sleep(seconds)
        return
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.asked.wait(), seconds)


def _when(reply: NodeExecutionReply) -> tuple[bool, datetime | int, int]:
    """What has finished first, in that order."""
    return (True, reply.seq, 0) if reply.finished_at is None else (False, reply.finished_at, reply.seq)


def _row(reply: NodeExecutionReply) -> dict[str, Any]:
    return reply.model_dump(include={"path", "type", "iteration", "status", "attempts", "duration_ms", "error"})
