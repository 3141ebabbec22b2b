"""Workflows as text and archives. A document names credentials and holds none, so none leaves with it."""

from __future__ import annotations

import asyncio
import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import orjson

from api.auth import Identity
from api.resources import Resources
from api.workflow_access import sight_of
from engine.dag.yaml_text import write_yaml
from engine.errors import NotFound, TooLarge
from models.repositories.folders import Folders
from models.repositories.workflow_lists import WorkflowFilter, WorkflowLists
from models.repositories.workflows import Versions
from models.tables import Folder, Workflow

Format = Literal["yaml", "json", "zip"]
MANIFEST = "manifest.json"
MAX_WORKFLOWS = 500
MAX_BYTES = 64 * 1024 * 1024
MEDIA_TYPES: dict[Format, str] = {"yaml": "application/yaml", "json": "application/json", "zip": "application/zip"}
_UNSAFE = re.compile(r"[^\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Exported:
    """A workflow with the document of one version and the names of the folders above it."""

    workflow: Workflow
    number: int
    document: dict[str, Any]
    folders: tuple[str, ...]


async def export_workflows(resources: Resources, caller: Identity, narrowed: WorkflowFilter) -> list[Exported]:
    """The latest versions of what is asked for and may be seen. Raises: NotFound; TooLarge past the bounds."""
    rows, more = await WorkflowLists(resources.database).page(
        caller.tenant, narrowed, order="name", limit=MAX_WORKFLOWS
    )
    if more is not None:
        raise TooLarge(f"there are more than {MAX_WORKFLOWS} workflows: narrow the export by folder, tag or ids")
    if narrowed.ids is not None and (missing := set(narrowed.ids) - {row.id for row in rows}):
        raise NotFound(f"no workflow {min(missing)}")
    folders = {folder.id: folder for folder in await Folders(resources.database).all(caller.tenant)}
    return await _with_documents(resources, caller, rows, folders)


async def export_version(resources: Resources, caller: Identity, workflow_id: UUID, number: int | None) -> Exported:
    """One version of a workflow, the latest if none is named. Raises: NotFound."""
    narrowed = WorkflowFilter(ids=(workflow_id,), sight=sight_of(caller))
    (exported,) = await export_workflows(resources, caller, narrowed)
    if number is None or number == exported.number:
        return exported
    version = await Versions(resources.database).get_number(caller.tenant, workflow_id, number)
    return Exported(exported.workflow, number, version.spec, exported.folders)


async def _with_documents(
    resources: Resources, caller: Identity, rows: Sequence[Workflow], folders: dict[UUID, Folder]
) -> list[Exported]:
    versions, found, size = Versions(resources.database), list[Exported](), 0
    for row in rows:
        version = await versions.get_number(caller.tenant, row.id, row.latest_version)
        size += len(orjson.dumps(version.spec))
        if size > MAX_BYTES:
            raise TooLarge(f"the export has more than {MAX_BYTES:,} bytes: narrow it by folder, tag or ids")
        found.append(Exported(row, version.number, version.spec, folder_names(row.folder_id, folders)))
    return found


def folder_names(folder_id: UUID | None, folders: dict[UUID, Folder]) -> tuple[str, ...]:
    """The names from the top down to a folder."""
    names: list[str] = []
    while folder_id is not None and (folder := folders.get(folder_id)) is not None:
        names.insert(0, folder.name)
        folder_id = folder.parent_id
    return tuple(names)


async def write_export(items: Sequence[Exported], form: Format) -> bytes:
    """All of it as one JSON document or list, YAML documents, or a ZIP of YAML files with a manifest."""
    return await asyncio.to_thread(_WRITERS[form], items)


def _json(items: Sequence[Exported]) -> bytes:
    documents = [item.document for item in items]
    return orjson.dumps(documents[0] if len(documents) == 1 else documents, option=orjson.OPT_INDENT_2)


def _yaml(items: Sequence[Exported]) -> bytes:
    documents = [write_yaml(item.document) for item in items]
    return "---\n".join(documents or ["# no workflow is as was asked\n"]).encode()


def _zip(items: Sequence[Exported]) -> bytes:
    target, entries = io.BytesIO(), list[dict[str, Any]]()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, item in enumerate(items, start=1):
            name = f"{number:03d}-{file_name(item.workflow.name)}.yaml"
            entries.append(_entry(name, item))
            archive.writestr(name, write_yaml(item.document))
        archive.writestr(MANIFEST, orjson.dumps({"workflows": entries}, option=orjson.OPT_INDENT_2))
    return target.getvalue()


def _entry(name: str, item: Exported) -> dict[str, Any]:
    workflow = item.workflow
    return {
        "file": name,
        "name": item.document.get("name"),
        "folder": list(item.folders),
        "tags": list(workflow.tags),
        "version": item.number,
        "status": workflow.status,
    }


_WRITERS = {"json": _json, "yaml": _yaml, "zip": _zip}


def file_name(name: str) -> str:
    """The name as part of a file's name on any system."""
    return _UNSAFE.sub("-", name)[:80].strip(".-") or "workflow"
