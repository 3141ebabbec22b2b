"""What an event starts: one execution for each trigger that lets it pass, however often the event is delivered."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from engine.activities.clients.objects import Values
from engine.activities.events.filters import Filters
from engine.activities.launching import TemporalLink, launch
from engine.activities.startable import version_to_start
from engine.activities.starting import CompiledVersion, Versions, input_of
from engine.dag.inputs import check_input
from engine.dag.outcome import error_dict
from engine.dag.plan import PlanNode
from engine.errors import INVALID_CONFIG, NodeError, StructForgeError, SystemFault, ValidationFailed
from engine.nodes.trigger.event import EventParams, passes
from models.ids import id_of_fire
from models.repositories.events import Answer
from models.repositories.executions import QUEUED, Executions, NewExecution
from models.repositories.workflows import Workflows
from models.session import Database
from models.tables import Event, EventTrigger, Execution
from models.tenancy import TenantId

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Opener:
    """Asks a trigger about an event, and starts what it is for."""

    database: Database
    values: Values
    versions: Versions
    temporal: TemporalLink
    task_queue: str
    inline_limit: int
    filters: Filters = field(default_factory=Filters)

    async def answer(self, tenant: TenantId, event: Event, trigger: EventTrigger) -> Answer | None:
        """The execution that the event starts here, or why it starts none; None if it is not for this trigger.

        Raises: SystemFault if a server does not answer.
        """
        try:
            execution = await self._opened(tenant, event, trigger)
        except ValidationFailed as error:
            details: dict[str, Any] = {"issues": [issue.as_dict() for issue in error.issues]}
            return Answer(trigger, error=error_dict(INVALID_CONFIG, "the event is no valid input", details))
        except SystemFault:
            raise
        except StructForgeError as error:
            return Answer(trigger, error=error_dict(error.code, error.message, error.details))
        if execution is None:
            return None
        await self._launch(tenant, execution)
        return Answer(trigger, execution.id)

    async def _opened(self, tenant: TenantId, event: Event, trigger: EventTrigger) -> Execution | None:
        workflow = await Workflows(self.database).get(tenant, trigger.workflow_id)
        version = await self.versions.get_number(tenant, workflow.id, version_to_start(workflow))
        node = next((one for one in version.plan.triggers() if one.id == trigger.node_id and one.type == "event"), None)
        if node is None:  # a version without it was published meanwhile
            return None
        told = data_of(event)
        if not await passes(_params(version, node), told, self.filters):
            return None
        new = await self._new_execution(tenant, event, version, node, told)
        return (await Executions(self.database).create_execution(tenant, new)).execution

    async def _new_execution(
        self, tenant: TenantId, event: Event, version: CompiledVersion, node: PlanNode, told: dict[str, Any]
    ) -> NewExecution:
        data = check_input(version.spec, told)
        return NewExecution(
            # The time when it was stored, for the event's own may lie anywhere.
            id=id_of_fire(event.created_at, f"{event.id} {version.workflow_id} {node.id}"),
            workflow_id=version.workflow_id,
            version_id=version.id,
            workflow_name=version.workflow_name,
            input=await self.values.store(tenant, data, self.inline_limit),
            trigger="event",
            trigger_node=node.path,
            node_total=len(version.plan.nodes),
            priority=version.spec.settings.priority,
            labels={"event": event.id, "event_type": event.type, "event_depth": event.depth + 1},
            started_by=event.published_by,
        )

    async def _launch(self, tenant: TenantId, execution: Execution) -> None:
        """Start its Temporal workflow; where that cannot be done now, the relay does it."""
        if execution.reason == QUEUED or execution.status != "pending":
            return
        try:
            request = await input_of(self.database, self.versions, tenant, execution, values=self.values)
            await launch(self.temporal, request, task_queue=self.task_queue, priority=execution.priority)
        except SystemFault as fault:
            _log.warning("execution %s waits for the relay: %s", execution.id, fault)


def data_of(event: Event) -> dict[str, Any]:
    """The event as filters and executions see it."""
    time = event.time.isoformat()
    return {"id": event.id, "type": event.type, "source": event.source, "time": time, "data": event.data}


def _params(version: CompiledVersion, node: PlanNode) -> EventParams:
    """Raises: NodeError for an older version's document that today's rules refuse."""
    given = next(one.params for one in version.spec.nodes if one.id == node.id)
    try:
        return EventParams.model_validate(given)
    except ValueError as error:
        raise NodeError(f"the trigger's parameters are not valid: {error}", code=INVALID_CONFIG) from None
