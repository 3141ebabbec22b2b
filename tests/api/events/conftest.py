"""A tenant of its own for tests of events, with the scheduler's dispatcher on the same servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest_asyncio
from fastapi import FastAPI

from api.resources import Resources
from engine.activities.events.dispatching import Dispatcher
from engine.activities.events.opening import Opener
from engine.activities.launching import TemporalLink
from engine.settings import Settings
from models.repositories.api_keys import ApiKeys
from models.repositories.executions import Executions
from models.repositories.tenants import Tenants
from models.tables import Execution
from models.tenancy import TenantId, mint_tenant
from scheduler_sync import open_dispatcher, open_relay
from tests.api.conftest import caller

ENDED = ("success", "failed", "cancelled", "timed_out")


@dataclass(frozen=True, slots=True)
class Home:
    """A tenant, its caller, and the dispatcher of the outbox, which runs when it is told to."""

    tenant: TenantId
    api: httpx2.AsyncClient
    dispatcher: Dispatcher
    opener: Opener
    executions: Executions
    temporal: TemporalLink

    async def publish_workflow(self, event_type: str, **more: Any) -> str:
        """A workflow that starts with events of this type; its id."""
        answer = await self.api.post("/workflows", json={"document": listener(event_type, **more)})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    async def publish(self, event_type: str = "order.created", **event: Any) -> str:
        """Publish an event; its id."""
        answer = await self.api.post("/events", json={"type": event_type, "source": "test", **event})
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    async def event(self, event_id: str) -> dict[str, Any]:
        answer = await self.api.get(f"/events/{event_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def settled(self, event_id: str) -> dict[str, Any]:
        """The event, once a dispatcher that runs beside has asked every trigger."""
        async with asyncio.timeout(30):
            while True:
                told = await self.event(event_id)
                if told["state"] == "settled":
                    return told
                await asyncio.sleep(0.05)

    async def started_by(self, event_id: str) -> list[Execution]:
        """The executions of an event, once they have ended, by workflow."""
        starts = (await self.event(event_id))["starts"]
        ids = [UUID(start["execution_id"]) for start in starts if start["execution_id"] is not None]
        return [await self.ended(execution_id) for execution_id in ids]

    async def ended(self, execution_id: UUID) -> Execution:
        handle = await self.temporal.handle(self.tenant, execution_id)
        async with asyncio.timeout(30):
            await asyncio.gather(handle.result(), return_exceptions=True)
        return await self.executions.get(self.tenant, execution_id)

    async def of(self, workflow_id: str) -> list[dict[str, Any]]:
        """The executions of a workflow, oldest first."""
        answer = await self.api.get("/executions", params={"workflow_id": workflow_id, "limit": 200})
        assert answer.status_code == 200, answer.text
        return list(reversed(answer.json()["items"]))


def listener(event_type: str, *, event_filter: str | None = None, mapping: Any = None, **more: Any) -> dict[str, Any]:
    params: dict[str, Any] = {"event_type": event_type}
    if event_filter is not None:
        params["event_filter"] = event_filter
    return {
        "name": f"listener-{uuid4().hex[:12]}",
        "nodes": [
            {"id": "heard", "type": "event", "params": params},
            {"id": "note", "type": "transform", "params": {"mapping": mapping or {"type": "{{ input.type }}"}}},
        ],
        "edges": [{"source": "heard", "target": "note"}],
        **more,
    }


@pytest_asyncio.fixture(loop_scope="session")
async def home(app: FastAPI, settings: Settings, resources: Resources, worker: None) -> AsyncIterator[Home]:
    tenant = mint_tenant(uuid4())
    await Tenants(resources.database).ensure(tenant, f"events {tenant}")
    _, secret = await ApiKeys(resources.database).create(tenant, "events", scopes=("*",))
    async with caller(app, secret) as api, open_relay(settings) as relay, open_dispatcher(relay) as dispatcher:
        opener = Opener(
            relay.database,
            relay.values,
            relay.versions,
            relay.temporal,
            settings.worker.task_queue,
            inline_limit=32_768,
        )
        yield Home(tenant, api, dispatcher, opener, Executions(resources.database), relay.temporal)
