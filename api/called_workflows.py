"""Who may let a workflow call another, checked when a workflow that names one is saved, published, started or rerun.

Whoever may start the other workflow may: it takes the role of an executor. What is vouched for so is noted with the
version, and stays good when the role is taken back later. A name that is an expression is known at the run alone; then
the worker asks the same of the version's author (`models/repositories/workflow_calls.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from api.auth import Identity
from api.resources import Resources
from api.workflow_access import role_on, sees_everything
from engine.activities.starting import CompiledVersion
from engine.errors import AccessDenied
from models.repositories.workflow_calls import WorkflowCalls
from models.roles import Role
from models.tables import WorkflowVersion

CALLS = "workflow"  # the type of the node that calls another


async def need_called_workflows(resources: Resources, caller: Identity, document: Mapping[str, Any]) -> list[UUID]:
    """The workflows that a document names, all of which the caller may start; those that are not there are left out.

    Raises: AccessDenied (WORKFLOW_DENIED) with the names of the others.
    """
    names = called_names(document)
    if not names or caller.share is not None:  # a visitor runs what somebody else has vouched for
        return []
    found = await WorkflowCalls(resources.database).named(caller.tenant, names)
    if not sees_everything(caller):
        _refuse([name for name, called in found.items() if not await _may_start(resources, caller, called)])
    return sorted(set(found.values()))


async def need_called_by(resources: Resources, caller: Identity, version: CompiledVersion) -> None:
    """The same for a version that is about to start. Raises: AccessDenied (WORKFLOW_DENIED)."""
    if caller.share is None and not sees_everything(caller) and any(node.type == CALLS for node in version.plan.nodes):
        await need_called_workflows(resources, caller, version.spec.model_dump())


async def note_called(resources: Resources, caller: Identity, version: WorkflowVersion, called: Sequence[UUID]) -> None:
    """Put down what `need_called_workflows` has found, once the version is there."""
    if called:
        await WorkflowCalls(resources.database).note(caller.tenant, version.id, called)


def called_names(document: Mapping[str, Any]) -> list[str]:
    """The constant names, or ids, of the workflows that nodes at any depth call, sorted."""
    return sorted({name for name in _names(document) if "{{" not in name})


async def _may_start(resources: Resources, caller: Identity, workflow_id: UUID) -> bool:
    role = await role_on(resources, caller, workflow_id)
    return role is not None and role.covers(Role.EXECUTOR)


def _refuse(denied: Sequence[str]) -> None:
    if denied:
        message = f"you may not start {', '.join(denied)[:500]}: ask the owner of each for the role of an executor"
        raise AccessDenied(message, code="WORKFLOW_DENIED", details={"workflows": list(denied)})


def _names(tree: Any) -> Iterator[str]:
    pending = [tree]  # a list, for documents nest deeper than Python calls
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += cast("list[Any]", value)
        elif isinstance(value, Mapping):
            members = cast("Mapping[str, Any]", value)
            pending += members.values()
            name = _called_by(members)
            if name is not None:
                yield name


def _called_by(node: Mapping[str, Any]) -> str | None:
    """What a node calls. Data that merely looks like a node names more than there is, which does no harm."""
    params: Any = node.get("params")
    if node.get("type") != CALLS or not isinstance(params, Mapping):
        return None
    name = cast("Mapping[str, Any]", params).get("workflow")
    return name if isinstance(name, str) else None
