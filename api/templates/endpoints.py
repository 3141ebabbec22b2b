"""Routes of templates."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from api.access import Caller
from api.permissions import Permission, requires
from api.resources import Held
from api.templates import service
from api.templates.schemas import TemplateDetail, TemplateReply, TemplateRequest, UseRequest
from api.workflows.schemas import WorkflowDetail

router = APIRouter(prefix="/templates", tags=["templates"])

TemplateId = Annotated[str, Path(max_length=100, description="A built-in template's name, or an id")]


@router.get("")
@requires(Permission.WORKFLOW_READ)
async def list_templates(resources: Held, caller: Caller) -> list[TemplateReply]:
    """The built-in templates, then the tenant's own."""
    return await service.list_templates(resources, caller.tenant)


@router.post("", status_code=201)
@requires(Permission.WORKFLOW_WRITE)
async def create_template(body: TemplateRequest, response: Response, resources: Held, caller: Caller) -> TemplateDetail:
    """Keep the document of a workflow, which the caller edits, as a template for everybody in the tenant."""
    made = await service.create_template(resources, caller, body)
    response.headers["Location"] = f"/api/v1/templates/{made.id}"
    return made


@router.get("/{template_id}")
@requires(Permission.WORKFLOW_READ)
async def get_template(template_id: TemplateId, resources: Held, caller: Caller) -> TemplateDetail:
    """A template with its document."""
    return await service.get_template(resources, caller.tenant, template_id)


@router.delete("/{template_id}", status_code=204)
@requires(Permission.WORKFLOW_WRITE)
async def delete_template(template_id: TemplateId, resources: Held, caller: Caller) -> None:
    """Delete one of the tenant's own templates; workflows made of it stay."""
    await service.delete_template(resources, caller, template_id)


@router.post("/{template_id}/use", status_code=201)
@requires(Permission.WORKFLOW_WRITE)
async def use_template(
    template_id: TemplateId, body: UseRequest, response: Response, resources: Held, caller: Caller
) -> WorkflowDetail:
    """Make a new workflow of a template."""
    made = await service.use_template(resources, caller, template_id, body)
    response.headers["Location"] = f"/api/v1/workflows/{made.id}"
    return made
