"""What a call of a webhook does: who is called, whether the call may come in, and the execution that it starts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from fastapi import Request, Response
from starlette.exceptions import HTTPException

from api.executions.starting import id_of_trace, launch_row
from api.hooks.answers import answer
from api.hooks.bodies import gathered, is_file, read_body
from api.hooks.proofs import PRIVATE_HEADERS, Arrival, Carriers, check_proof
from api.hooks.rules import check_rules
from api.rate_limits import rate_of
from api.resources import Resources
from engine.activities.startable import version_to_start
from engine.activities.starting import CompiledVersion
from engine.dag.inputs import check_input
from engine.dag.plan import PlanNode
from engine.dag.spec import NodeSpec
from engine.dag.values import Value, listing, mapping
from engine.errors import Conflict, Issue, NotFound, ValidationFailed
from engine.nodes.trigger.webhook import WebhookParams
from models.repositories.executions import Executions, IdempotentRequest, NewExecution
from models.repositories.hooks import FoundHook, Hooks
from models.repositories.workflows import Workflows
from models.tables import Execution
from models.tenancy import TenantId, mint_tenant

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
MAX_PATH = 200
MAX_KEY = 255
RETRY_AFTER = timedelta(seconds=60)  # where a quota does not say when it frees
# By which a call that is sent again is known; the first that it has counts.
KEY_HEADERS = ("idempotency-key", "webhook-id", "x-github-delivery", "x-gitlab-event-uuid", "x-shopify-webhook-id")


@dataclass(frozen=True, slots=True)
class Target:
    """The webhook that is called: a trigger of a version."""

    tenant: TenantId
    version: CompiledVersion
    node: NodeSpec
    trigger: PlanNode
    params: WebhookParams
    started_by: str = ""  # the person who tries a draft
    is_test: bool = False


async def call(resources: Resources, request: Request, tenant: str, path: str) -> Response:
    """Answer a call of a published webhook.

    Raises: NotFound; HTTPException 405, 400, 415; RateLimited; Unauthenticated and AccessDenied (WEBHOOK_REFUSED);
    ValidationFailed; TooLarge; Conflict; HookFailure; SystemFault.
    """
    found = await Hooks(resources.database).find(tenant, path) if len(path) <= MAX_PATH else ()
    hook = _for_method(found, request.method)
    whose = mint_tenant(hook.tenant_id)
    await resources.rate_limits.take(
        "webhook", f"{whose}/{hook.method}/{path}", rate_of(resources.settings.hooks.per_path)
    )
    version = await resources.versions.get_number(whose, hook.workflow_id, hook.version)
    target = _target(whose, version, hook.node)
    arrival = await _arrival(request, path)
    carriers = await check_proof(resources, whose, target.params, target.node.credential, arrival)
    return await _start(resources, target, arrival, carriers)


async def call_draft(
    resources: Resources, request: Request, tenant: TenantId, workflow_id: UUID, path: str, started_by: str
) -> Response:
    """The same with the latest version of a workflow, for a caller who may edit and start it.

    What the webhook asks of its callers is not asked for: the caller has proved more. Raises: as `call`, and Conflict
    (WORKFLOW_ARCHIVED, WORKFLOW_PAUSED, VERSION_INVALID).
    """
    version = await draft_of(resources, tenant, workflow_id)
    for node in version.spec.nodes:
        if node.type == "webhook" and address_of(node) == (path, request.method):
            target = replace(_target(tenant, version, node.id), started_by=started_by, is_test=True)
            return await _start(resources, target, await _arrival(request, path), Carriers())
    raise NotFound(f"the latest version has no webhook for {request.method} {path[:MAX_PATH]}")


async def draft_of(resources: Resources, tenant: TenantId, workflow_id: UUID) -> CompiledVersion:
    """The latest version. Raises: NotFound; Conflict."""
    workflow = await Workflows(resources.database).get(tenant, workflow_id)
    number = version_to_start(workflow, workflow.latest_version)
    return await resources.versions.get_number(tenant, workflow_id, number)


def address_of(node: NodeSpec) -> tuple[str, str]:
    """Path and method of a webhook."""
    params = params_of(node)
    return params.path, params.method


def params_of(node: NodeSpec) -> WebhookParams:
    return WebhookParams.model_validate(node.params)


def _for_method(found: Sequence[FoundHook], method: str) -> FoundHook:
    if not found:
        raise NotFound("there is no such webhook")
    hook = next((one for one in found if one.method == method), None)
    if hook is None:
        allowed = ", ".join(one.method for one in found)
        raise HTTPException(405, "the webhook is called with another method", headers={"Allow": allowed})
    return hook


def _target(tenant: TenantId, version: CompiledVersion, name: str) -> Target:
    node = next(node for node in version.spec.nodes if node.id == name)
    trigger = next(trigger for trigger in version.plan.triggers() if trigger.id == name)
    return Target(tenant, version, node, trigger, params_of(node))


async def _arrival(request: Request, path: str) -> Arrival:
    return Arrival(request.method, path, request.headers, request.query_params, await request.body())


async def _start(resources: Resources, target: Target, arrival: Arrival, carriers: Carriers) -> Response:
    check_rules(target.params, arrival.headers)
    given = await _data(resources, arrival, carriers)
    data = check_input(target.version.spec, given)
    execution = await _open(resources, target, data, _once(target, arrival))
    return await answer(resources, target.tenant, execution, target.params)


async def _data(resources: Resources, arrival: Arrival, carriers: Carriers) -> dict[str, Any]:
    """The call as the trigger gives it, without what proves its caller."""
    query = [(name, value) for name, value in arrival.query.multi_items() if name not in carriers.query]
    private = carriers.headers | PRIVATE_HEADERS
    headers = {name: ", ".join(arrival.headers.getlist(name)) for name in arrival.headers if name not in private}
    return {
        "method": arrival.method,
        "path": arrival.path,
        "query": gathered(query),
        "headers": headers,
        "body": await read_body(arrival.body, arrival.headers, resources.settings.hooks),
    }


def _once(target: Target, arrival: Arrival) -> IdempotentRequest | None:
    """The call as one that may be sent again; None if nothing in it says so. Tries of drafts are all new."""
    key = next((arrival.headers[name] for name in KEY_HEADERS if arrival.headers.get(name)), None)
    if key is None or target.is_test:
        return None
    if len(key) > MAX_KEY:
        issue = Issue("INVALID_VALUE", "header", f"the key of the delivery is longer than {MAX_KEY} characters")
        raise ValidationFailed([issue], "the call is not valid")
    asked = f"{arrival.method} {arrival.path}?{arrival.query}\n".encode() + arrival.body
    return IdempotentRequest(f"webhook:{target.version.workflow_id}", key, hashlib.sha256(asked).digest())


async def _open(
    resources: Resources, target: Target, data: dict[str, Any], once: IdempotentRequest | None
) -> Execution:
    """The execution of the call, on record and started; the one that is there if the call came before.

    Raises: Conflict (QUOTA_EXCEEDED, or the key was used for another call).
    """
    version = target.version
    new = NewExecution(
        id=id_of_trace(),
        workflow_id=version.workflow_id,
        version_id=version.id,
        workflow_name=version.workflow_name,
        input=await _stored(resources, target.tenant, data),
        trigger="webhook",
        trigger_node=target.trigger.path,
        node_total=len(version.plan.nodes),
        priority=version.spec.settings.priority,
        labels={"webhook": target.params.path, **({"test": True} if target.is_test else {})},
        started_by=target.started_by,
    )
    try:
        created = await Executions(resources.database).create_execution(target.tenant, new, request=once)
    except Conflict as refused:
        raise _told(refused) from None
    if created.is_new:
        await launch_row(resources, target.tenant, created.execution)
    return created.execution


def _told(refused: Conflict) -> Conflict:
    """A quota as a caller from outside may know it: when to try again, not whose it is."""
    if refused.code != "QUOTA_EXCEEDED":
        return refused
    frees_at = refused.details.get("frees_at") or (datetime.now(UTC) + RETRY_AFTER).isoformat()
    return Conflict("no more executions may start for now", code=refused.code, details={"frees_at": frees_at})


async def _stored(resources: Resources, tenant: TenantId, data: dict[str, Any]) -> Value:
    """The input as a Value; the content of each file that came is an object of its own, read by whoever uses it."""
    limit, body = resources.settings.limits.inline_output_bytes, data.get("body")

    async def keep(value: Any) -> Value:
        if is_file(value):
            members = cast("Mapping[str, Any]", value)
            return mapping({name: await resources.values.store(tenant, one, limit) for name, one in members.items()})
        if isinstance(value, list) and any(is_file(one) for one in cast("list[Any]", value)):
            return listing([await keep(one) for one in cast("list[Any]", value)])
        return await resources.values.store(tenant, value, limit)

    if not isinstance(body, dict) or not _has_files(cast("dict[str, Any]", body)):
        return await resources.values.store(tenant, data, limit)
    members = {name: await keep(one) for name, one in data.items() if name != "body"}
    fields = {name: await keep(one) for name, one in cast("dict[str, Any]", body).items()}
    return mapping({**members, "body": mapping(fields)})


def _has_files(body: Mapping[str, Any]) -> bool:
    return any(
        is_file(value) or (isinstance(value, list) and any(is_file(one) for one in cast("list[Any]", value)))
        for value in body.values()
    )
