"""Starting executions: one transaction makes the row, then Temporal is asked to run it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from api.resources import Resources
from engine.activities.launching import launch
from engine.activities.startable import version_to_start
from engine.activities.starting import CompiledVersion, input_of
from engine.dag.inputs import check_input
from engine.dag.plan import Plan, PlanNode
from engine.errors import Issue, SystemFault, ValidationFailed
from engine.nodes.trigger.manual import ManualParams
from engine.telemetry.context import bound
from models.ids import new_id
from models.repositories.executions import QUEUED, Created, Executions, IdempotentRequest, NewExecution
from models.repositories.workflows import Workflows
from models.tables import Execution
from models.tenancy import TenantId

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """What a caller wants started. `key` is the caller's idempotency key, `asked` all that the request asks for."""

    input: Any = None
    trigger: str | None = None
    labels: Mapping[str, Any] = field(default_factory=dict[str, Any])
    priority: int | None = None
    key: str | None = None
    asked: Any = None
    by: str = ""  # the person
    trigger_key: str | None = None  # in place of `trigger`

    def once(self, kind: str) -> IdempotentRequest | None:
        """The order as a request that may be repeated, None without a key."""
        if self.key is None:
            return None
        asked = orjson.dumps(self.asked, option=orjson.OPT_SORT_KEYS, default=str)
        return IdempotentRequest(kind, self.key, hashlib.sha256(asked).digest())


async def published_version(
    resources: Resources, tenant: TenantId, workflow_id: UUID, number: int | None
) -> CompiledVersion:
    """The version to run: `number`, or the published one.

    Raises: NotFound; Conflict (WORKFLOW_ARCHIVED, WORKFLOW_PAUSED, NOT_PUBLISHED, VERSION_INVALID).
    """
    workflow = await Workflows(resources.database).get(tenant, workflow_id)
    return await resources.versions.get_number(tenant, workflow_id, version_to_start(workflow, number))


async def start(resources: Resources, tenant: TenantId, version: CompiledVersion, order: Order) -> Created:
    """Make an execution and start it.

    If Temporal is away the execution stays pending, and the relay starts it when Temporal is back.
    Raises: ValidationFailed if the input or trigger does not fit; Conflict if the key was used for another request.
    """
    trigger = choose_trigger(version.plan, trigger_asked_for(version, order.trigger, order.trigger_key))
    data = check_input(version.spec, _given(resources, version, trigger, order.input))
    limit = resources.settings.limits.inline_output_bytes
    new = NewExecution(
        id=id_of_trace(),
        workflow_id=version.workflow_id,
        version_id=version.id,
        workflow_name=version.workflow_name,
        input=await resources.values.store(tenant, data, limit),
        trigger="manual",
        trigger_node=trigger.path if trigger else None,
        node_total=len(version.plan.nodes),
        priority=order.priority or version.spec.settings.priority,
        labels=order.labels,
        started_by=order.by,
    )
    created = await Executions(resources.database).create_execution(tenant, new, request=order.once("execute"))
    if created.is_new:
        await launch_row(resources, tenant, created.execution)
    return created


def id_of_trace() -> UUID:
    """The id of an execution that shares the trace of the request under way; a fresh one if that has no say in it."""
    work = bound()
    return (None if work is None else work.claim()) or new_id()


def _given(resources: Resources, version: CompiledVersion, trigger: PlanNode | None, given: Any) -> Any:
    """The input of a start by hand; a webhook, timer or event adds what the outside world would have given.

    Raises: ValidationFailed if the trigger cannot give that.
    """
    kind = None if trigger is None else resources.catalogue.get(trigger.type)
    if trigger is None or kind is None or kind.by_hand is None:
        return given
    params = next(node.params for node in version.spec.nodes if node.id == trigger.id)
    return kind.data_by_hand(params, given, datetime.now(UTC))


async def launch_row(resources: Resources, tenant: TenantId, execution: Execution) -> bool:
    """Start the Temporal workflow of a new row; False if it waits for a slot or Temporal is away."""
    if execution.reason == QUEUED:
        return False
    try:
        request = await input_of(resources.database, resources.versions, tenant, execution, values=resources.values)
        queue = resources.settings.worker.task_queue
        await launch(resources.temporal, request, task_queue=queue, priority=execution.priority)
    except SystemFault as fault:
        _log.warning("execution %s waits for the relay: %s", execution.id, fault)
        return False
    return True


def trigger_asked_for(version: CompiledVersion, name: str | None, key: str | None) -> str | None:
    """The id of the trigger that a start names, by its id or by the key of a manual one.

    Raises: ValidationFailed if no trigger has that key, or the two name different ones.
    """
    if key is None:
        return name
    keys = {node.params.get("trigger_key"): node.id for node in version.spec.nodes if node.type == "manual"}
    found = keys.get(key)
    if found is None:
        known = ", ".join(sorted(str(one) for one in keys if one is not None))
        hint = f"the keys are: {known}" if known else "no manual trigger has a key: leave it out"
        raise _bad_trigger("UNKNOWN_TRIGGER", f"no trigger has the key {key[:80]!r}", hint)
    if name not in (None, found):
        raise _bad_trigger("AMBIGUOUS_TRIGGER", "the trigger and the key name different triggers", "give one of them")
    return found


def longest_wait_s(version: CompiledVersion, order: Order, wait_s: float) -> float:
    """How long the caller of a start is kept waiting: `wait_s`, or the manual trigger's own timeout if that is less.

    Raises: ValidationFailed if the order names no trigger that there is.
    """
    chosen = choose_trigger(version.plan, trigger_asked_for(version, order.trigger, order.trigger_key))
    if chosen is None or chosen.type != "manual":
        return wait_s
    given = next(node.params for node in version.spec.nodes if node.id == chosen.id)
    timeout = ManualParams.model_validate(given).timeout
    return wait_s if timeout is None else min(wait_s, timeout.total_seconds())


def choose_trigger(plan: Plan, name: str | None) -> PlanNode | None:
    """The trigger that starts the execution; None if the document has none. Raises: ValidationFailed."""
    triggers = plan.triggers()
    known = ", ".join(node.id for node in triggers)
    if name is not None:
        found = next((node for node in triggers if node.id == name), None)
        if found is None:
            hint = f"the triggers are: {known}" if known else "the document has no triggers: leave it out"
            raise _bad_trigger("UNKNOWN_TRIGGER", f"there is no trigger {name[:80]!r}", hint)
        return found
    if len(triggers) > 1:
        raise _bad_trigger("AMBIGUOUS_TRIGGER", "the document has several triggers", f"name one of: {known}")
    return triggers[0] if triggers else None


def _bad_trigger(code: str, message: str, hint: str) -> ValidationFailed:
    return ValidationFailed([Issue(code, "trigger", message, hint)], "the trigger is not valid")
