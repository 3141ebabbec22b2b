"""What webhooks are compared with: a small HTTP handler that starts a Temporal workflow written by hand.

Run as `python -m benchmarks.trigger_handwritten serve PORT` and `... work`, with the settings of StructForge in the
environment: two processes, as StructForge's API and worker are. The workflow's one activity calls the URL that came.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import PollerBehaviorSimpleMaximum, UnsandboxedWorkflowRunner, Worker

from engine.settings import Settings, load_settings

TASK_QUEUE = "handwritten-triggers"
PATH = "/start"


@workflow.defn(name="handwritten-call")
class OneCall:
    @workflow.run
    async def run(self, body: Mapping[str, Any]) -> int:
        return await workflow.execute_activity("call_back", body["url"], start_to_close_timeout=timedelta(seconds=30))


class Calls:
    """One HTTP client for all activities."""

    def __init__(self) -> None:
        self._client = httpx2.AsyncClient()

    @activity.defn(name="call_back")
    async def call_back(self, url: str) -> int:
        return (await self._client.get(url)).status_code


async def connected(settings: Settings) -> Client:
    assert settings.temporal.address is not None
    return await Client.connect(settings.temporal.address, namespace=settings.temporal.namespace)


async def work(settings: Settings) -> None:
    """Work until SIGTERM, with the options of `worker.build_worker`."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    options = settings.worker
    worker = Worker(
        await connected(settings),
        task_queue=TASK_QUEUE,
        workflows=[OneCall],
        activities=[Calls().call_back],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=options.max_cached_workflows,
        max_concurrent_workflow_tasks=options.max_concurrent_workflow_tasks,
        max_concurrent_activities=options.max_concurrent_activities,
        max_eager_activity_reservations_per_workflow_task=max(1, options.max_eager_activities),
        workflow_task_poller_behavior=PollerBehaviorSimpleMaximum(10),
        activity_task_poller_behavior=PollerBehaviorSimpleMaximum(10),
    )
    async with worker:
        await stop.wait()


async def serve(settings: Settings, port: int) -> None:
    """Answer POST with the id of the Temporal workflow that it has started, until SIGTERM."""
    client = await connected(settings)

    async def start(request: Request) -> JSONResponse:
        identifier = f"call-{uuid4()}"
        await client.start_workflow("handwritten-call", await request.json(), id=identifier, task_queue=TASK_QUEUE)
        return JSONResponse({"id": identifier}, 202)

    app = Starlette(routes=[Route(PATH, start, methods=["POST"])])
    config = uvicorn.Config(app, host="127.0.0.1", port=port, access_log=False, log_config=None)
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve(load_settings(), int(sys.argv[2])))
    else:
        asyncio.run(work(load_settings()))
