"""The Python client of the HTTP API, synchronous and asynchronous, with typed replies.

    with Client("http://127.0.0.1:8400", api_key) as client:
        execution = client.run(document, {"min_total": 5}, wait_s=30)
        print(execution.status, execution.output)
        for failed in client.list_executions.all(status="failed"):
            print(failed.id)

    for event in client.watch_execution(execution.id):
        print(event.event, event.data)

Every operation of the API is a method called like its operationId. Errors are those of `structforge.client.errors`.
"""

from __future__ import annotations

from structforge.client.errors import QuotaExceeded, RateLimited, Unreachable, VersionConflict
from structforge.client.models import *  # noqa: F403 (every body, as they are listed there)
from structforge.client.models import __all__ as _bodies
from structforge.client.routes import Routes
from structforge.client.shapes import Page
from structforge.client.shorthands import Shorthands
from structforge.client.streaming import AsyncStreams, LiveEvent, Streams
from structforge.client.transport import AsyncTransport, Retries, SyncTransport
from structforge.client.unset import UNSET, Unset


class Client(Streams, Shorthands, Routes, SyncTransport):
    """The API at `base_url` (without `/api/v1`), called with an API key or an access token."""


class AsyncClient(AsyncStreams, Shorthands, Routes, AsyncTransport):
    """The same as `Client`, for asyncio."""


__all__ = [  # pyright: ignore[reportUnsupportedDunderAll]  # the bodies stand in a generated list
    "UNSET",
    "AsyncClient",
    "Client",
    "LiveEvent",
    "Page",
    "QuotaExceeded",
    "RateLimited",
    "Retries",
    "Unreachable",
    "Unset",
    "VersionConflict",
    *_bodies,
]
