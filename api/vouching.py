"""What a person answers for who puts a document to use: the credentials and the workflows that it names.

One place for all ways of saving, publishing and starting, so that none of them asks for the one and forgets the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from api.auth import Identity
from api.called_workflows import need_called_by, need_called_workflows
from api.credential_access import need_credentials_of, need_credentials_of_rerun, need_credentials_of_version
from api.resources import Resources
from engine.activities.starting import CompiledVersion
from models.repositories.executions import Executions


async def vouch_for_document(resources: Resources, caller: Identity, document: Mapping[str, Any]) -> list[UUID]:
    """The workflows that it calls, for `note_called`. Raises: AccessDenied (CREDENTIAL_DENIED, WORKFLOW_DENIED)."""
    await need_credentials_of(resources, caller, document)
    return await need_called_workflows(resources, caller, document)


async def vouch_for_start(resources: Resources, caller: Identity, version: CompiledVersion) -> None:
    """Raises: AccessDenied (CREDENTIAL_DENIED, WORKFLOW_DENIED)."""
    await need_credentials_of_version(resources, caller, version.id)
    await need_called_by(resources, caller, version)


async def vouch_for_rerun(
    resources: Resources, caller: Identity, execution_id: UUID, number: int | None = None
) -> None:
    """For the version that a rerun runs: `number`, or the execution's own. Raises: AccessDenied; NotFound."""
    await need_credentials_of_rerun(resources, caller, execution_id, number)
    execution = await Executions(resources.database).get(caller.tenant, execution_id)
    if number is None:
        version = await resources.versions.get(caller.tenant, execution.version_id)
    else:
        version = await resources.versions.get_number(caller.tenant, execution.workflow_id, number)
    await need_called_by(resources, caller, version)
