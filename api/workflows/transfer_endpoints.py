"""Routes that give workflows out as text, and take them in."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from starlette.exceptions import HTTPException

from api.access import Caller
from api.documents import JSON_TYPES, TEXT_TYPES
from api.permissions import Permission, requires
from api.resources import Held
from api.workflow_access import sight_of
from api.workflows import exporting, importing
from api.workflows.archives import split_upload
from api.workflows.exporting import MAX_BYTES, MEDIA_TYPES, Exported, Format
from api.workflows.importing import OnConflict, Wish
from api.workflows.listing import normal_tags
from api.workflows.schemas import ImportReply
from models.repositories.workflow_lists import WorkflowFilter

router = APIRouter(prefix="/workflows", tags=["export and import"])

ZIP_TYPES = ("application/zip", "application/x-zip-compressed")
_CONTENT: dict[str, Any] = {
    "application/yaml": {"schema": {"type": "string"}},
    "application/json": {"schema": {}},
    "application/zip": {"schema": {"type": "string", "format": "binary"}},
}
# A schema is of what YAML stands for, which here is one document, several, or none.
_EXPORTED = {**_CONTENT, "application/yaml": {"schema": {}}}
_EXPORT: dict[int | str, dict[str, Any]] = {200: {"content": _EXPORTED, "description": "The documents"}}
_UPLOAD: dict[str, Any] = {
    "requestBody": {"required": True, "description": "One document or several", "content": _CONTENT}
}
Form = Annotated[Format, Query(alias="format", description="zip holds a YAML file each, with folders and tags")]
Ids = Annotated[list[UUID] | None, Query(max_length=500, description="These alone; repeated for several")]
Tag = Annotated[list[str] | None, Query(max_length=50, description="With all of these tags")]
Number = Annotated[int | None, Query(ge=1, lt=2**31, description="The latest if left out")]
InFolder = Annotated[UUID | None, Query(description="Where new workflows, and folders of a ZIP, are put")]


@router.get("/export", response_class=Response, responses=_EXPORT)
@requires(Permission.WORKFLOW_READ)
async def export_workflows(
    resources: Held,
    caller: Caller,
    form: Form = "yaml",
    workflow_id: Ids = None,
    folder: Annotated[UUID | None, Query(description="With the folders below it")] = None,
    tag: Tag = None,
) -> Response:
    """The latest versions of the workflows that the caller may see, archived ones left out unless named by id."""
    narrowed = WorkflowFilter(
        statuses=None if workflow_id else ("draft", "active", "paused"),
        folder=folder,
        with_subfolders=True,
        tags=normal_tags(tag or ()),
        ids=workflow_id,
        sight=sight_of(caller),
    )
    return await _answer(await exporting.export_workflows(resources, caller, narrowed), form, "workflows")


@router.get("/{workflow_id}/export", response_class=Response, responses=_EXPORT)
@requires(Permission.WORKFLOW_READ)
async def export_workflow(
    workflow_id: UUID, resources: Held, caller: Caller, form: Form = "yaml", version: Number = None
) -> Response:
    """One version of a workflow as a file."""
    exported = await exporting.export_version(resources, caller, workflow_id, version)
    return await _answer([exported], form, exporting.file_name(exported.workflow.name))


@router.post("/import", openapi_extra=_UPLOAD)
@requires(Permission.WORKFLOW_WRITE)
async def import_workflows(
    request: Request,
    resources: Held,
    caller: Caller,
    on_conflict: Annotated[OnConflict, Query(description="What to do about names that are taken")] = "fail",
    dry_run: Annotated[bool, Query(description="Only say what would be done")] = False,
    publish: Annotated[bool, Query(description="false makes drafts, which start nothing")] = False,
    folder: InFolder = None,
) -> ImportReply:
    """Take in one document or many; nothing runs. All are stored, or none and every issue of each is told."""
    kind = _kind(request)
    data = await request.body()
    parts = await asyncio.to_thread(split_upload, data, kind, max_bytes=MAX_BYTES)
    wish = Wish(on_conflict, dry_run, publish, folder)
    return await importing.import_documents(resources, caller, parts, wish)


def _kind(request: Request) -> str:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given in ZIP_TYPES:
        return "application/zip"
    if given in JSON_TYPES:
        return "application/json"
    if given in TEXT_TYPES:
        return "application/yaml"
    raise HTTPException(415, "send application/yaml, application/json or application/zip")


async def _answer(items: list[Exported], form: Format, name: str) -> Response:
    content = await exporting.write_export(items, form)
    headers = {"Content-Disposition": f'attachment; filename="{name}.{form}"', "Cache-Control": "no-store"}
    return Response(content, media_type=MEDIA_TYPES[form], headers=headers)
