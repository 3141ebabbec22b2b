"""Routes of workflows. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from structforge.client.calls import Call, Id, call, key, listing, part
from structforge.client.documents import document_body
from structforge.client.models.shared import WorkflowDetail, WorkflowReply
from structforge.client.models.workflows import Validation
from structforge.client.shapes import Page
from structforge.client.unset import UNSET, Unset


class WorkflowsRoutes:
    """Routes of workflows."""

    @listing
    def list_workflows(
        self,
        *,
        search: str | None = None,
        status: str | None = None,
        owner: str | None = None,
        folder: Id | Literal["top"] | None = None,
        subfolders: bool | None = None,
        tag: list[str] | None = None,
        tags: Literal["all", "any"] | None = None,
        updated_since: datetime | None = None,
        sort: Literal["created", "-created", "updated", "-updated", "name", "-name"] | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Call[Page[WorkflowReply]]:
        """The workflows that the caller may see, newest first unless sorted otherwise; archived ones only on demand."""
        return Call(
            "GET",
            "/api/v1/workflows",
            Page[WorkflowReply],
            params={
                "search": search,
                "status": status,
                "owner": owner,
                "folder": folder,
                "subfolders": subfolders,
                "tag": tag,
                "tags": tags,
                "updated_since": updated_since,
                "sort": sort,
                "cursor": cursor,
                "limit": limit,
            },
        )

    @call
    def create_workflow(
        self,
        document: str | Mapping[str, Any],
        *,
        note: str | Unset = UNSET,
        if_exists: Literal["fail", "save"] | None = None,
        publish: bool | None = None,
        idempotency_key: str | None = None,
    ) -> Call[WorkflowDetail]:
        """Save a document as a new workflow and publish it; with `if_exists=save`, as the next version of one there
        is.
        """
        return Call(
            "POST",
            "/api/v1/workflows",
            WorkflowDetail,
            params={"if_exists": if_exists, "publish": publish},
            headers={"Idempotency-Key": key(idempotency_key)},
            **document_body({"document": document, "note": note}),
        )

    @call
    def validate_workflow(self, document: str | Mapping[str, Any], *, note: str | Unset = UNSET) -> Call[Validation]:
        """Every issue of a document. Nothing is stored and nothing runs."""
        return Call(
            "POST",
            "/api/v1/workflows/validate",
            Validation,
            **document_body({"document": document, "note": note}),
        )

    @call
    def get_workflow(self, workflow_id: Id) -> Call[WorkflowDetail]:
        """A workflow with the document of its latest version."""
        return Call("GET", f"/api/v1/workflows/{part(workflow_id)}", WorkflowDetail)

    @call
    def update_workflow(
        self,
        workflow_id: Id,
        document: str | Mapping[str, Any],
        *,
        note: str | Unset = UNSET,
        publish: bool | None = None,
        if_match: str | None = None,
    ) -> Call[WorkflowDetail]:
        """Save a document as the next version and publish it; 412 if `If-Match` names another version than the
        latest.
        """
        return Call(
            "PUT",
            f"/api/v1/workflows/{part(workflow_id)}",
            WorkflowDetail,
            params={"publish": publish},
            headers={"If-Match": UNSET if if_match is None else if_match},
            **document_body({"document": document, "note": note}),
        )

    @call
    def delete_workflow(self, workflow_id: Id, *, permanently: bool | None = None) -> Call[None]:
        """Archive a workflow: nothing starts from it any more, its versions and executions stay. With `permanently`,
        delete one that is archived already and has no execution running, if the caller owns it. Executions that have
        ended stay, and can no longer be rerun.
        """
        return Call("DELETE", f"/api/v1/workflows/{part(workflow_id)}", type(None), params={"permanently": permanently})

    @call
    def change_workflow(
        self,
        workflow_id: Id,
        *,
        name: str | Unset | None = UNSET,
        description: str | Unset | None = UNSET,
        folder_id: Id | Unset | None = UNSET,
        tags: list[str] | Unset | None = UNSET,
        note: str | Unset = UNSET,
        if_match: str | None = None,
    ) -> Call[WorkflowDetail]:
        """Rename, describe, move or tag a workflow; 412 if it is not as `If-Match` says."""
        return Call(
            "PATCH",
            f"/api/v1/workflows/{part(workflow_id)}",
            WorkflowDetail,
            headers={"If-Match": UNSET if if_match is None else if_match},
            body={"name": name, "description": description, "folder_id": folder_id, "tags": tags, "note": note},
        )

    @call
    def pause_workflow(self, workflow_id: Id, *, idempotency_key: str | None = None) -> Call[WorkflowReply]:
        """Let nothing start from the workflow until it is resumed; executions that run go on."""
        return Call(
            "POST",
            f"/api/v1/workflows/{part(workflow_id)}/pause",
            WorkflowReply,
            headers={"Idempotency-Key": key(idempotency_key)},
        )

    @call
    def resume_workflow(self, workflow_id: Id, *, idempotency_key: str | None = None) -> Call[WorkflowReply]:
        """Let executions start again."""
        return Call(
            "POST",
            f"/api/v1/workflows/{part(workflow_id)}/resume",
            WorkflowReply,
            headers={"Idempotency-Key": key(idempotency_key)},
        )

    @call
    def archive_workflow(self, workflow_id: Id, *, idempotency_key: str | None = None) -> Call[WorkflowReply]:
        """Put the workflow away: lists hide it and nothing starts from it."""
        return Call(
            "POST",
            f"/api/v1/workflows/{part(workflow_id)}/archive",
            WorkflowReply,
            headers={"Idempotency-Key": key(idempotency_key)},
        )

    @call
    def restore_workflow(self, workflow_id: Id, *, idempotency_key: str | None = None) -> Call[WorkflowReply]:
        """Take the workflow out of the archive: active if a version is published, else a draft."""
        return Call(
            "POST",
            f"/api/v1/workflows/{part(workflow_id)}/restore",
            WorkflowReply,
            headers={"Idempotency-Key": key(idempotency_key)},
        )

    @call
    def duplicate_workflow(
        self,
        workflow_id: Id,
        *,
        name: str | Unset | None = UNSET,
        version: int | Unset | None = UNSET,
        folder_id: Id | Unset | None = UNSET,
        note: str | Unset = UNSET,
        idempotency_key: str | None = None,
    ) -> Call[WorkflowDetail]:
        """Make a draft of the caller's own from a version; it fires nothing before it is published."""
        return Call(
            "POST",
            f"/api/v1/workflows/{part(workflow_id)}/duplicate",
            WorkflowDetail,
            headers={"Idempotency-Key": key(idempotency_key)},
            body={"name": name, "version": version, "folder_id": folder_id, "note": note},
        )
