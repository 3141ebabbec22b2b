"""Routes of export and import. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from structforge.client.calls import Call, Id, call, key, part
from structforge.client.documents import file_body
from structforge.client.models.export_and_import import ImportReply


class ExportAndImportRoutes:
    """Routes of export and import."""

    @call
    def export_workflows(
        self,
        *,
        format: Literal["yaml", "json", "zip"] | None = None,
        workflow_id: list[Id] | None = None,
        folder: Id | None = None,
        tag: list[str] | None = None,
    ) -> Call[bytes]:
        """The latest versions of the workflows that the caller may see, archived ones left out unless named by id."""
        return Call(
            "GET",
            "/api/v1/workflows/export",
            bytes,
            params={"format": format, "workflow_id": workflow_id, "folder": folder, "tag": tag},
        )

    @call
    def export_workflow(
        self,
        workflow_id: Id,
        *,
        format: Literal["yaml", "json", "zip"] | None = None,
        version: int | None = None,
    ) -> Call[bytes]:
        """One version of a workflow as a file."""
        return Call(
            "GET",
            f"/api/v1/workflows/{part(workflow_id)}/export",
            bytes,
            params={"format": format, "version": version},
        )

    @call
    def import_workflows(
        self,
        body: str | bytes | Mapping[str, Any],
        *,
        on_conflict: Literal["fail", "rename", "version"] | None = None,
        dry_run: bool | None = None,
        publish: bool | None = None,
        folder: Id | None = None,
        idempotency_key: str | None = None,
    ) -> Call[ImportReply]:
        """Take in one document or many; nothing runs. All are stored, or none and every issue of each is told."""
        return Call(
            "POST",
            "/api/v1/workflows/import",
            ImportReply,
            params={"on_conflict": on_conflict, "dry_run": dry_run, "publish": publish, "folder": folder},
            headers={"Idempotency-Key": key(idempotency_key)},
            **file_body(body),
        )
