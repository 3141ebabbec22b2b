"""Telling triggers of events: the handlers of messages that are events, or become some of our own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from engine.activities.events.dispatching import Handler
from engine.activities.events.internal import ends_of, failed_node, opened_approval, published_workflow
from engine.activities.events.opening import Opener
from engine.errors import NotFound
from models.repositories.events import PUBLISHED, Events, NewEvent
from models.repositories.executions import Executions
from models.repositories.outbox import FINISHED
from models.session import Database
from models.tables import Event, EventTrigger, Execution, Outbox
from models.tenancy import TenantId, mint_tenant

AT_ONCE = 10


@dataclass(slots=True)
class EventHandlers:
    """Starts what events are for. An event that follows `max_depth` others starts nothing."""

    database: Database
    opener: Opener
    max_depth: int

    def handlers(self) -> Mapping[str, Sequence[Handler]]:
        """By kind of message, for the dispatcher."""
        return {
            PUBLISHED: [self.published],
            FINISHED: [self.execution_finished],
            "node.failed": [self.node_failed],
            "workflow.published": [self.workflow_published],
            "approval.opened": [self.approval_opened],
        }

    async def published(self, message: Outbox) -> None:
        """An event that was published over HTTP."""
        tenant = mint_tenant(message.tenant_id)
        try:
            event = await Events(self.database).get(tenant, message.payload["event_id"])
        except NotFound:  # removed by retention
            return
        await self._tell(tenant, event)

    async def execution_finished(self, message: Outbox) -> None:
        """An execution has ended."""
        tenant, execution = await self._execution(message)
        if execution is None:
            return
        depth = await Events(self.database).depth_of(tenant, execution.id)
        for event in ends_of(execution, depth):
            await self._tell_own(tenant, event)

    async def node_failed(self, message: Outbox) -> None:
        """A node execution has failed."""
        tenant, execution = await self._execution(message)
        if execution is not None:
            depth = await Events(self.database).depth_of(tenant, execution.id)
            await self._tell_own(tenant, failed_node(message, execution, depth))

    async def workflow_published(self, message: Outbox) -> None:
        """A version was published."""
        await self._tell_own(mint_tenant(message.tenant_id), published_workflow(message))

    async def approval_opened(self, message: Outbox) -> None:
        """An approval waits for people."""
        tenant, execution = await self._execution(message)
        if execution is not None:
            depth = await Events(self.database).depth_of(tenant, execution.id)
            await self._tell_own(tenant, opened_approval(message, execution, depth))

    async def _execution(self, message: Outbox) -> tuple[TenantId, Execution | None]:
        """The execution that a message is about; None if retention has removed it."""
        tenant = mint_tenant(message.tenant_id)
        try:
            return tenant, await Executions(self.database).get(tenant, UUID(str(message.payload["execution_id"])))
        except NotFound:
            return tenant, None

    async def _tell_own(self, tenant: TenantId, new: NewEvent) -> None:
        """Tell of an event of our own; it is stored only where somebody waits for it."""
        rows = Events(self.database)
        if await rows.triggers(tenant, new.type, new.id, about=new.about):
            await self._tell(tenant, await rows.record(tenant, new))

    async def _tell(self, tenant: TenantId, event: Event) -> None:
        """Ask every trigger that waits for the event. One that fails does not keep it from the others.

        Raises: SystemFault, or a defect, after all have been asked; those that have answered are not asked again.
        """
        if event.settled_at is not None:  # its message was delivered before
            return None
        rows = Events(self.database)
        triggers = await rows.triggers(tenant, event.type, event.id, about=event.about_workflow_id)
        if triggers and event.depth >= self.max_depth:
            note = f"it follows {event.depth} other events, and the limit is {self.max_depth}: it starts nothing"
            return await rows.settle(tenant, event.id, note)
        gate = asyncio.Semaphore(AT_ONCE)

        async def ask(trigger: EventTrigger) -> None:
            async with gate:
                answer = await self.opener.answer(tenant, event, trigger)
            if answer is not None:
                await rows.write_answer(tenant, event.id, answer)

        for outcome in await asyncio.gather(*map(ask, triggers), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        return await rows.settle(tenant, event.id)
