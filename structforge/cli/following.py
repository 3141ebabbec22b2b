"""Following an execution to its end, whatever happens to the API in the meantime."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any, Protocol

from engine.errors import SystemFault
from structforge.cli.terminal import err, is_live
from structforge.client import AsyncClient, ExecutionDetail, LiveEvent, NodeExecutionReply
from structforge.progress import Board, LineProgress, LiveProgress

_PATIENCE_S = 60.0
_AGAIN_S = 0.5
_MOMENT_S = 0.05
_AHEAD = 1000
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_PAGE = 500

_NODE_EVENTS = frozenset({"node.started", "node.retrying", "node.waiting", "node.finished"})
_SHOWN = ("path", "type", "iteration", "status", "attempts", "duration_ms", "error")

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
    detail = await _patiently(client, execution_id)
    view.tell(detail.status)
    tasks = [asyncio.create_task(_show(client, execution_id, view))]
    if stop is not None:
        tasks.append(asyncio.create_task(_asked(stop)))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    detail = await _patiently(client, execution_id)
    view.tell(detail.status)
    return detail


async def _show(client: AsyncClient, execution_id: str, view: View) -> None:
    """Everything that happens, to the end. The stream comes back by itself behind the last message that it told."""
    told: asyncio.Queue[LiveEvent | None] = asyncio.Queue(_AHEAD)

    async def listen() -> None:
        try:
            async for event in client.watch_execution(execution_id, patience_s=_PATIENCE_S):
                await told.put(event)
        finally:
            await told.put(None)

    listening = asyncio.create_task(listen())
    try:
        while (events := await _together(told))[-1] is not None:
            _take(events, view)
        _take(events, view)
        await listening
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def _together(told: asyncio.Queue[LiveEvent | None]) -> list[LiveEvent | None]:
    """What comes within a moment; None behind the last. What was recorded together comes in no order."""
    events = [await told.get()]
    if events[-1] is not None:
        await asyncio.sleep(_MOMENT_S)
    while events[-1] is not None and not told.empty():
        events.append(told.get_nowait())
    return events


def _take(events: list[LiveEvent | None], view: View) -> None:
    nodes = [event.data for event in events if event is not None and event.event in _NODE_EVENTS]
    view.update([{name: data[name] for name in _SHOWN} for data in sorted(nodes, key=_when)])
    for event in events:
        if event is not None and event.event.startswith("execution."):
            view.tell(event.data["status"])


def _when(data: dict[str, Any]) -> tuple[bool, datetime]:
    """What has finished comes first, in that order."""
    at = data["finished_at"] or data["started_at"]
    return data["finished_at"] is None, _LONG_AGO if at is None else datetime.fromisoformat(at)


async def _asked(stop: Stop) -> None:
    await stop.asked.wait()


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
        await asyncio.sleep(_AGAIN_S)
