"""Who may use a credential, checked when a workflow that names it is saved, published, started or previewed.

The owner may, those whom the owner names, and all members where the owner says so; tenant administrators and keys of no
person may use all. What runs by a trigger runs with the rights that whoever published it had then, and so does what a
visitor by a sharing link starts. A name that the tenant has no credential for may be the operator's, which all may use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from api.auth import Identity
from api.resources import Resources
from api.workflow_access import sees_everything
from engine.errors import AccessDenied
from models.repositories.credentials import Credentials
from models.repositories.executions import Executions
from models.tables import Credential


async def need_credential(resources: Resources, caller: Identity, names: Sequence[str]) -> None:
    """Return if the caller may use every credential of these names.

    Raises: AccessDenied (CREDENTIAL_DENIED) with the names that it may not use.
    """
    if names and _is_bound(caller):
        rows = await Credentials(resources.database).named(caller.tenant, sorted(set(names)))
        _refuse(sorted(name for name, row in rows.items() if not may_use(caller, row)))


async def need_credentials_of(resources: Resources, caller: Identity, document: Mapping[str, Any]) -> None:
    """The same for every credential that a document names. Raises: AccessDenied."""
    await need_credential(resources, caller, credential_names(document))


async def need_credentials_of_version(resources: Resources, caller: Identity, version_id: UUID) -> None:
    """The same for every credential that a saved version names. Raises: AccessDenied."""
    if not _is_bound(caller):
        return
    assert caller.user_id is not None
    denied = await Credentials(resources.database).denied_to(caller.tenant, caller.user_id, version_id)
    _refuse(denied)


async def need_credentials_of_rerun(
    resources: Resources, caller: Identity, execution_id: UUID, number: int | None = None
) -> None:
    """The same for the version that a rerun runs: `number`, or the execution's own. Raises: AccessDenied; NotFound."""
    if not _is_bound(caller):
        return
    execution = await Executions(resources.database).get(caller.tenant, execution_id)
    version_id = execution.version_id
    if number is not None:
        version_id = (await resources.versions.get_number(caller.tenant, execution.workflow_id, number)).id
    await need_credentials_of_version(resources, caller, version_id)


def credential_names(document: Mapping[str, Any]) -> list[str]:
    """The credentials that the nodes of a document name, at any depth, sorted.

    Nodes stand in lists called `nodes`; the database notes the uses of a version by the same rule.
    """
    return sorted(set(_names(document)))


def may_use(caller: Identity, row: Credential) -> bool:
    if sees_everything(caller) or row.for_all_members:
        return True
    return caller.user_id is not None and (caller.user_id == row.owner_id or caller.user_id in row.users)


def may_change(caller: Identity, row: Credential) -> bool:
    """Whether the caller may replace, share and delete it: its owner, and who may do all in the tenant."""
    return sees_everything(caller) or (caller.user_id is not None and caller.user_id == row.owner_id)


def _is_bound(caller: Identity) -> bool:
    """Whether what the caller runs is checked: a person's doing is, a visitor runs what somebody else vouched for."""
    return caller.share is None and not sees_everything(caller)


def _refuse(denied: Sequence[str]) -> None:
    if denied:
        message = f"you may not use {', '.join(denied)[:500]}: ask the owner of each credential"
        raise AccessDenied(message, code="CREDENTIAL_DENIED", details={"credentials": list(denied)})


def _names(tree: Any) -> Iterator[str]:
    pending = [tree]  # a list, for documents nest deeper than Python calls
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += cast("list[Any]", value)
        elif isinstance(value, Mapping):
            members = cast("Mapping[str, Any]", value)
            pending += members.values()
            yield from _named_by(members.get("nodes"))


def _named_by(nodes: Any) -> Iterator[str]:
    for node in cast("list[Any]", nodes) if isinstance(nodes, list) else [nodes]:
        name = cast("Mapping[str, Any]", node).get("credential") if isinstance(node, Mapping) else None
        if isinstance(name, str):
            yield name
