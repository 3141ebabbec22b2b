"""Who may arrange what a tenant shares beside its workflows: folders and templates.

Tenant administrators and keys of no person may, by their scopes. A person may not who has been given roles, none of
them an editor's: she is there to read and to run. Moving or renaming a folder changes where the workflows in it stand,
so it takes the role of an editor on each; a template goes by the hand of its author, or of who edits its workflow.
"""

from __future__ import annotations

from uuid import UUID

from api.auth import Identity
from api.people import person_of
from api.resources import Resources
from api.workflow_access import role_on, sees_everything
from engine.errors import AccessDenied
from models.repositories.folders import Folders
from models.repositories.grants import Grants
from models.roles import Role
from models.tables import Template


async def need_arranger(resources: Resources, caller: Identity) -> None:
    """Raises: AccessDenied for who may only read and run."""
    if sees_everything(caller):
        return
    assert caller.user_id is not None
    if await Grants(resources.database).only_reads(caller.tenant, caller.user_id):
        raise AccessDenied("this needs the role of an editor on some workflow, and yours only read and run")


async def need_editor_within(resources: Resources, caller: Identity, folder_id: UUID) -> None:
    """Raises: AccessDenied unless the caller edits every workflow in the folder and below."""
    await need_arranger(resources, caller)
    if sees_everything(caller):
        return
    assert caller.user_id is not None
    others = await Folders(resources.database).unedited_within(caller.tenant, folder_id, caller.user_id)
    if others:
        raise AccessDenied(f"{others} workflows in the folder are not yours to edit", details={"workflows": others})


async def need_template(resources: Resources, caller: Identity, template: Template) -> None:
    """Raises: AccessDenied unless the caller made the template, or edits the workflow that it was made of."""
    if sees_everything(caller) or template.author == person_of(caller).id:
        return
    role = None if template.workflow_id is None else await role_on(resources, caller, template.workflow_id)
    if role is None or not role.covers(Role.EDITOR):
        raise AccessDenied("a template is deleted by who made it, or by who edits its workflow")
