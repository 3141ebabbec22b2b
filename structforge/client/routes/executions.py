"""Routes of executions. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from structforge.client.calls import Call, Id, call, key, listing, part
from structforge.client.models.executions import (
    BulkReply,
    ExecutionDetail,
    ExecutionReply,
    FilterRequest,
    NodeExecutionReply,
)
from structforge.client.shapes import Page
from structforge.client.unset import UNSET, Unset


class ExecutionsRoutes:
    """Routes of executions."""

    @call
    def execute_workflow(
        self,
        workflow_id: Id,
        *,
        input: Any = UNSET,
        trigger: str | Unset | None = UNSET,
        trigger_key: str | Unset | None = UNSET,
        metadata: dict[str, str | bool | int | float] | Unset = UNSET,
        version: int | Unset | None = UNSET,
        priority: int | Unset | None = UNSET,
        mode: Literal["async", "sync"] | None = None,
        wait_s: float | None = None,
        idempotency_key: str | None = None,
    ) -> Call[ExecutionDetail]:
        """Start an execution. 202: it runs or soon will; 200: it has ended (`mode=sync`)."""
        return Call(
            "POST",
            f"/api/v1/workflows/{part(workflow_id)}/execute",
            ExecutionDetail,
            params={"mode": mode, "wait_s": wait_s},
            headers={"Idempotency-Key": key(idempotency_key)},
            body={
                "input": input,
                "trigger": trigger,
                "trigger_key": trigger_key,
                "metadata": metadata,
                "version": version,
                "priority": priority,
            },
            extra_s=wait_s or 0,
        )

    @listing
    def list_executions(
        self,
        *,
        sort: Literal["-created", "created", "-finished", "finished", "-duration", "duration"] | None = None,
        cursor: str | None = None,
        limit: int | None = None,
        workflow_id: Id | None = None,
        status: str | None = None,
        trigger: str | None = None,
        tag: str | None = None,
        label: list[str] | None = None,
        started_by: str | None = None,
        parent: Id | None = None,
        rerun_of: Id | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Call[Page[ExecutionReply]]:
        """Executions, the newest first unless `sort` says otherwise, without their data."""
        return Call(
            "GET",
            "/api/v1/executions",
            Page[ExecutionReply],
            params={
                "sort": sort,
                "cursor": cursor,
                "limit": limit,
                "workflow_id": workflow_id,
                "status": status,
                "trigger": trigger,
                "tag": tag,
                "label": label,
                "started_by": started_by,
                "parent": parent,
                "rerun_of": rerun_of,
                "created_from": created_from,
                "created_before": created_before,
            },
        )

    @call
    def execute_document(
        self,
        document: dict[str, Any] | str,
        *,
        input: Any = UNSET,
        trigger: str | Unset | None = UNSET,
        trigger_key: str | Unset | None = UNSET,
        metadata: dict[str, str | bool | int | float] | Unset = UNSET,
        priority: int | Unset | None = UNSET,
        mode: Literal["async", "sync"] | None = None,
        wait_s: float | None = None,
        idempotency_key: str | None = None,
    ) -> Call[ExecutionDetail]:
        """Save a document as a version of the workflow of its name, and start it."""
        return Call(
            "POST",
            "/api/v1/executions",
            ExecutionDetail,
            params={"mode": mode, "wait_s": wait_s},
            headers={"Idempotency-Key": key(idempotency_key)},
            body={
                "document": document,
                "input": input,
                "trigger": trigger,
                "trigger_key": trigger_key,
                "metadata": metadata,
                "priority": priority,
            },
            extra_s=wait_s or 0,
        )

    @call
    def export_executions(
        self,
        *,
        format: Literal["json", "ndjson", "csv"] | None = None,
        full: bool | None = None,
        workflow_id: Id | None = None,
        status: str | None = None,
        trigger: str | None = None,
        tag: str | None = None,
        label: list[str] | None = None,
        started_by: str | None = None,
        parent: Id | None = None,
        rerun_of: Id | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Call[bytes]:
        """Executions with their data as a file, newest first."""
        return Call(
            "GET",
            "/api/v1/executions/export",
            bytes,
            params={
                "format": format,
                "full": full,
                "workflow_id": workflow_id,
                "status": status,
                "trigger": trigger,
                "tag": tag,
                "label": label,
                "started_by": started_by,
                "parent": parent,
                "rerun_of": rerun_of,
                "created_from": created_from,
                "created_before": created_before,
            },
        )

    @call
    def get_execution(self, execution_id: Id, *, full: bool | None = None) -> Call[ExecutionDetail]:
        """An execution with its data."""
        return Call("GET", f"/api/v1/executions/{part(execution_id)}", ExecutionDetail, params={"full": full})

    @call
    def export_execution(
        self,
        execution_id: Id,
        *,
        format: Literal["json", "ndjson", "csv"] | None = None,
        full: bool | None = None,
    ) -> Call[bytes]:
        """The node executions of an execution with their data as a file, by path, iteration and generation."""
        return Call(
            "GET",
            f"/api/v1/executions/{part(execution_id)}/export",
            bytes,
            params={"format": format, "full": full},
        )

    @listing
    def list_nodes(
        self,
        execution_id: Id,
        *,
        path: str | None = None,
        status: str | None = None,
        full: bool | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Call[Page[NodeExecutionReply]]:
        """Node executions by path, iteration and generation."""
        return Call(
            "GET",
            f"/api/v1/executions/{part(execution_id)}/nodes",
            Page[NodeExecutionReply],
            params={"path": path, "status": status, "full": full, "cursor": cursor, "limit": limit},
        )

    @call
    def rerun_execution(
        self,
        execution_id: Id,
        *,
        from_node: str | Unset | None = UNSET,
        input: Any = UNSET,
        version: int | Unset | None = UNSET,
        idempotency_key: str | None = None,
    ) -> Call[ExecutionDetail]:
        """A new execution that repeats this one from a node on; everything before it keeps its outcome. With
        `version` it runs another version of the workflow, if what is kept fits into it.
        """
        return Call(
            "POST",
            f"/api/v1/executions/{part(execution_id)}/rerun",
            ExecutionDetail,
            headers={"Idempotency-Key": key(idempotency_key)},
            body={"from_node": from_node, "input": input, "version": version},
        )

    @call
    def bulk_executions(
        self,
        action: Literal["cancel", "pause", "resume", "rerun", "retry"],
        filter: FilterRequest,
        *,
        dry_run: bool | Unset = UNSET,
        limit: int | Unset = UNSET,
        from_node: str | Unset | None = UNSET,
        idempotency_key: str | None = None,
    ) -> Call[BulkReply]:
        """Do the same to many executions: those of the filter that the caller may control, oldest first. With
        `dry_run`, which is the default, nothing is done: the reply says how many there are and names the first.
        """
        return Call(
            "POST",
            "/api/v1/executions/bulk",
            BulkReply,
            headers={"Idempotency-Key": key(idempotency_key)},
            body={"action": action, "filter": filter, "dry_run": dry_run, "limit": limit, "from_node": from_node},
        )

    @call
    def cancel_execution(self, execution_id: Id) -> Call[ExecutionDetail]:
        """Stop an execution at once; its final state follows. 409 if it has ended."""
        return Call("POST", f"/api/v1/executions/{part(execution_id)}/cancel", ExecutionDetail)

    @call
    def pause_execution(self, execution_id: Id) -> Call[ExecutionDetail]:
        """Start no more nodes; those that run go on to their end. 409 if the execution has ended."""
        return Call("POST", f"/api/v1/executions/{part(execution_id)}/pause", ExecutionDetail)

    @call
    def resume_execution(self, execution_id: Id) -> Call[ExecutionDetail]:
        """Go on after a pause. 409 if the execution has ended."""
        return Call("POST", f"/api/v1/executions/{part(execution_id)}/resume", ExecutionDetail)

    @call
    def skip_node(
        self,
        execution_id: Id,
        path: str,
        *,
        iteration: list[int] | Unset = UNSET,
        output: Any = UNSET,
    ) -> Call[None]:
        """Give a node of a live execution an output in place of running it. 409 if it has ended."""
        return Call(
            "POST",
            f"/api/v1/executions/{part(execution_id)}/nodes/{part(path)}/skip",
            type(None),
            body={"iteration": iteration, "output": output},
        )

    @call
    def retry_node(self, execution_id: Id, path: str, *, iteration: list[int] | Unset = UNSET) -> Call[None]:
        """Try a node that waits for its next attempt at once. 409 if it does not wait."""
        return Call(
            "POST",
            f"/api/v1/executions/{part(execution_id)}/nodes/{part(path)}/retry",
            type(None),
            body={"iteration": iteration},
        )
