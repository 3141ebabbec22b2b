"""Live streams: they reconnect by themselves and go on where they were, so that nothing is missed or told twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import httpx2
import orjson

from engine.errors import AccessDenied, SystemFault
from structforge.client.calls import Id, part
from structforge.client.errors import error_of, unreachable

SILENCE_S = 45.0  # the server gives a sign of life every 15 s
PATIENCE_S = 60.0
WAITS_S = (0.1, 0.25, 0.5, 1.0, 2.0)
_TOO_OFTEN = 429


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """One message. `id` is that of the last message which can be gone on behind; see docs/live.md for `data`."""

    event: str
    data: dict[str, Any]
    id: str | None = None


@dataclass(slots=True)
class _Follower:
    """What both clients do between two connections. No I/O."""

    path: str
    params: Mapping[str, str]
    last_id: str | None
    patience_s: float
    over: bool = False
    _failures: int = field(default=0, init=False)
    _lost_at: float = field(default=0.0, init=False)

    def request(self) -> dict[str, Any]:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": self.last_id} if self.last_id else {})
        timeout = httpx2.Timeout(30, read=SILENCE_S)
        return {"method": "GET", "url": self.path, "params": dict(self.params), "headers": headers, "timeout": timeout}

    def opened(self, response: httpx2.Response) -> bool:
        """Whether there is something to read. Raises: SystemFault where another try may help, else the refusal."""
        if response.status_code == 204:
            self.over = True
            return False
        if response.status_code >= 500 or response.status_code == _TOO_OFTEN:
            raise SystemFault(f"the server answers {response.status_code}")
        if response.status_code != 200:
            raise error_of(response)
        return True

    def take(self, sent: httpx2.ServerSentEvent) -> LiveEvent | None:
        """The message, unless it concerns the connection alone. Raises: AccessDenied if nothing more may be read."""
        self._failures = 0
        data = cast("dict[str, Any]", orjson.loads(sent.data))
        self.last_id = sent.id or self.last_id
        if sent.event != "end":
            return LiveEvent(sent.event, data, self.last_id)
        self.over = data["reason"] == "finished"
        if not self.over and not data["resume"]:
            raise AccessDenied(data["detail"] or "the stream has ended")
        return None

    def wait_s(self, fault: Exception | None) -> float:
        """Seconds before the next try. Raises: SystemFault if the server has been away for too long."""
        if fault is None:
            return WAITS_S[0]
        if self._failures == 0:
            self._lost_at = time.monotonic()
        if time.monotonic() - self._lost_at > self.patience_s:
            raise fault if isinstance(fault, SystemFault) else unreachable(cast("httpx2.HTTPError", fault)) from None
        wait = WAITS_S[min(self._failures, len(WAITS_S) - 1)]
        self._failures += 1
        return wait


class Streams:
    """The streams of a synchronous client."""

    if TYPE_CHECKING:
        _http: httpx2.Client

    def watch_execution(
        self,
        execution_id: Id,
        *,
        level: str | None = None,
        nodes: bool = True,
        last_id: str | None = None,
        patience_s: float = PATIENCE_S,
    ) -> Iterator[LiveEvent]:
        """What happens in an execution, from its beginning or behind `last_id`, to its end.

        `level`: log lines from this level on too. A connection that breaks is opened again for `patience_s`.
        Raises: an error of `structforge.client.errors`.
        """
        return self._follow(_execution(execution_id, level, nodes, last_id, patience_s))

    def watch_tenant(
        self,
        *,
        workflow_id: Id | None = None,
        level: str | None = None,
        nodes: bool = True,
        last_id: str | None = None,
        patience_s: float = PATIENCE_S,
    ) -> Iterator[LiveEvent]:
        """What happens in all executions that may be seen, from now on or behind `last_id`. It does not end."""
        return self._follow(_tenant(workflow_id, level, nodes, last_id, patience_s))

    def _follow(self, follower: _Follower) -> Iterator[LiveEvent]:
        while not follower.over:
            fault: Exception | None = None
            try:
                with self._http.stream(**follower.request()) as response:
                    if response.status_code >= 400:
                        response.read()
                    if follower.opened(response):
                        for sent in httpx2.EventSource(response):
                            if (event := follower.take(sent)) is not None:
                                yield event
            except (httpx2.HTTPError, SystemFault) as error:
                fault = error
            if not follower.over:
                time.sleep(follower.wait_s(fault))


class AsyncStreams:
    """The streams of an asynchronous client."""

    if TYPE_CHECKING:
        _http: httpx2.AsyncClient

    def watch_execution(
        self,
        execution_id: Id,
        *,
        level: str | None = None,
        nodes: bool = True,
        last_id: str | None = None,
        patience_s: float = PATIENCE_S,
    ) -> AsyncIterator[LiveEvent]:
        """What happens in an execution, from its beginning or behind `last_id`, to its end.

        `level`: log lines from this level on too. A connection that breaks is opened again for `patience_s`.
        Raises: an error of `structforge.client.errors`.
        """
        return self._follow(_execution(execution_id, level, nodes, last_id, patience_s))

    def watch_tenant(
        self,
        *,
        workflow_id: Id | None = None,
        level: str | None = None,
        nodes: bool = True,
        last_id: str | None = None,
        patience_s: float = PATIENCE_S,
    ) -> AsyncIterator[LiveEvent]:
        """What happens in all executions that may be seen, from now on or behind `last_id`. It does not end."""
        return self._follow(_tenant(workflow_id, level, nodes, last_id, patience_s))

    async def _follow(self, follower: _Follower) -> AsyncIterator[LiveEvent]:
        while not follower.over:
            fault: Exception | None = None
            try:
                async with self._http.stream(**follower.request()) as response:
                    if response.status_code >= 400:
                        await response.aread()
                    if follower.opened(response):
                        async for sent in httpx2.EventSource(response):
                            if (event := follower.take(sent)) is not None:
                                yield event
            except (httpx2.HTTPError, SystemFault) as error:
                fault = error
            if not follower.over:
                await asyncio.sleep(follower.wait_s(fault))


def _execution(execution_id: Id, level: str | None, nodes: bool, last_id: str | None, patience_s: float) -> _Follower:
    path = f"/api/v1/executions/{part(execution_id)}/events"
    return _Follower(path, _params(level, nodes), last_id, patience_s)


def _tenant(
    workflow_id: Id | None, level: str | None, nodes: bool, last_id: str | None, patience_s: float
) -> _Follower:
    narrowed = {} if workflow_id is None else {"workflow_id": str(workflow_id)}
    return _Follower("/api/v1/events/stream", _params(level, nodes) | narrowed, last_id, patience_s)


def _params(level: str | None, nodes: bool) -> dict[str, str]:
    return ({} if level is None else {"level": level}) | ({} if nodes else {"nodes": "false"})
