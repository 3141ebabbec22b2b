"""The API and a worker on a loop and thread of their own, over real servers and a real port, for callers that block."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Generator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import uuid4

import uvicorn

from api.app import create_app, open_first_resources
from api.resources import Resources
from engine.settings import Settings
from models.repositories.api_keys import ApiKeys
from models.repositories.tenants import FIRST_TENANT
from models.tenancy import mint_tenant
from tests.models.server import free_port
from worker import build_worker, open_runtime

Result = TypeVar("Result")
READY_S = 180


@dataclass(frozen=True, slots=True)
class LiveApi:
    """`url` is the server's, without `/api/v1`."""

    url: str
    resources: Resources = field(repr=False)
    loop: asyncio.AbstractEventLoop = field(repr=False)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of work done on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def fresh_key(self) -> str:
        """An API key of the first tenant that may do everything, and that no test has taken away yet."""
        keys = ApiKeys(self.resources.database)
        _, secret = self.run(keys.create(mint_tenant(FIRST_TENANT), f"key-{uuid4().hex[:8]}", scopes=("*",)))
        return secret


@contextlib.contextmanager
def live_api(settings: Settings, *, with_worker: bool = True) -> Generator[LiveApi]:
    """Serve until the block ends."""
    ready: Future[LiveApi] = Future()
    stop: list[uvicorn.Server] = []
    served = settings.override({"api": {"port": free_port()}})

    def serve() -> None:
        try:
            asyncio.run(_serve(served, ready, stop, with_worker=with_worker))
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    thread = threading.Thread(target=serve, name="live API")
    thread.start()
    try:
        yield ready.result(READY_S)
    finally:
        for server in stop:
            server.should_exit = True
        thread.join(30)


async def _serve(settings: Settings, ready: Future[LiveApi], stop: list[uvicorn.Server], *, with_worker: bool) -> None:
    async with contextlib.AsyncExitStack() as stack:
        resources = await stack.enter_async_context(open_first_resources(settings))
        if with_worker:
            runtime = await stack.enter_async_context(open_runtime(settings))
            await stack.enter_async_context(build_worker(settings, runtime))
        config = uvicorn.Config(
            create_app(settings, resources), host="127.0.0.1", port=settings.api.port, log_config=None, access_log=False
        )
        server = uvicorn.Server(config)
        stop.append(server)
        serving = asyncio.ensure_future(server.serve())
        while not server.started and not serving.done():  # noqa: ASYNC110 (uvicorn tells of it by a flag alone)
            await asyncio.sleep(0.01)
        ready.set_result(LiveApi(settings.api.url, resources, asyncio.get_running_loop()))
        await serving
