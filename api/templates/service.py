"""What the template routes do. A built-in template is a file in `builtin`; its id is the file's name."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from uuid import UUID

from api.arranging import need_template
from api.audit import audit
from api.auth import Identity
from api.documents import check_document
from api.people import person_of
from api.resources import Resources
from api.templates.schemas import TemplateDetail, TemplateReply, TemplateRequest, UseRequest
from api.workflow_access import need_role
from api.workflows import service as workflows
from api.workflows.schemas import WorkflowDetail
from engine.dag.document import read_document
from engine.errors import AccessDenied, NotFound
from models.repositories.templates import Templates
from models.repositories.workflows import Versions, Workflows
from models.roles import Role
from models.tables import Template
from models.tenancy import TenantId

FOLDER = Path(__file__).parent / "builtin"


@cache
def built_in() -> dict[str, TemplateDetail]:
    """The templates that every installation has, by id."""
    return {path.stem: _read(path) for path in sorted(FOLDER.glob("*.yaml"))}


def _read(path: Path) -> TemplateDetail:
    document = read_document(path.read_bytes(), name=path.name)
    name, description = str(document["name"]), str(document.get("description", ""))
    return TemplateDetail(id=path.stem, name=name, description=description, built_in=True, document=document)


async def list_templates(resources: Resources, tenant: TenantId) -> list[TemplateReply]:
    """The built-in ones, then the tenant's own, by name."""
    own = [_reply(row) for row in await Templates(resources.database).all(tenant)]
    return [TemplateReply(**item.model_dump(exclude={"document"})) for item in [*built_in().values(), *own]]


async def get_template(resources: Resources, tenant: TenantId, template_id: str) -> TemplateDetail:
    """Raises: NotFound."""
    if (found := built_in().get(template_id)) is not None:
        return found
    return _reply(await Templates(resources.database).get(tenant, _own_id(template_id)))


async def create_template(resources: Resources, caller: Identity, wanted: TemplateRequest) -> TemplateDetail:
    """Keep a version's document as a template for the whole tenant. Raises: NotFound; AccessDenied; Conflict."""
    await need_role(resources, caller, wanted.workflow_id, Role.EDITOR)
    workflow = await Workflows(resources.database).get(caller.tenant, wanted.workflow_id)
    number = wanted.version or workflow.latest_version
    version = await Versions(resources.database).get_number(caller.tenant, workflow.id, number)
    row = await Templates(resources.database).create(
        caller.tenant,
        wanted.name or workflow.name,
        wanted.description or workflow.description,
        version.spec,
        workflow_id=workflow.id,
        author=person_of(caller).id,
    )
    await audit(resources, caller, "template.create", "template", row.id, workflow=str(workflow.id), version=number)
    return _reply(row)


async def delete_template(resources: Resources, caller: Identity, template_id: str) -> None:
    """Raises: NotFound; AccessDenied for a built-in one, and for somebody else's."""
    if template_id in built_in():
        raise AccessDenied("a built-in template cannot be deleted")
    templates = Templates(resources.database)
    await need_template(resources, caller, await templates.get(caller.tenant, _own_id(template_id)))
    await templates.delete(caller.tenant, _own_id(template_id))
    await audit(resources, caller, "template.delete", "template", template_id)


async def use_template(resources: Resources, caller: Identity, template_id: str, wanted: UseRequest) -> WorkflowDetail:
    """Make a workflow of a template. Raises: NotFound; Conflict (NAME_TAKEN); ValidationFailed."""
    template = await get_template(resources, caller.tenant, template_id)
    document = {**template.document, "name": wanted.name}
    checked = await check_document(resources, document, draft=not wanted.publish)
    note = f"From the template {template.name}"
    saved = await workflows.create_workflow(
        resources, caller, checked, note, publish=wanted.publish, folder_id=wanted.folder_id
    )
    return workflows.detail_of(saved, checked)


def _own_id(template_id: str) -> UUID:
    try:
        return UUID(template_id)
    except ValueError:
        raise NotFound(f"no template {template_id[:80]!r}") from None


def _reply(row: Template) -> TemplateDetail:
    return TemplateDetail(
        id=str(row.id),
        name=row.name,
        description=row.description,
        built_in=False,
        author=row.author,
        workflow_id=row.workflow_id,
        created_at=row.created_at,
        document=row.spec,
    )
