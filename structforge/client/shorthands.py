"""Calls that people make all day, with fewer words than their operations need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from structforge.client.calls import Call, Id, call, key, part
from structforge.client.documents import document_body
from structforge.client.models import ExecutionDetail, WorkflowDetail


class Shorthands:
    """Beside the operations of `Routes`."""

    @call
    def apply_workflow(self, document: str | Mapping[str, Any]) -> Call[WorkflowDetail]:
        """Create the workflow of this name, or save its next version."""
        save = {"if_exists": "save"}
        return Call("POST", "/api/v1/workflows", WorkflowDetail, params=save, **document_body({"document": document}))

    @call
    def execute(
        self,
        workflow_id: Id,
        input: Any = None,
        *,
        trigger: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        version: int | None = None,
        wait_s: float | None = None,
        idempotency_key: str | None = None,
    ) -> Call[ExecutionDetail]:
        """Start an execution; with `wait_s`, wait that long for its end."""
        body = {"input": input, "trigger": trigger, "metadata": metadata or {}, "version": version}
        return _start(f"/api/v1/workflows/{part(workflow_id)}/execute", body, wait_s, idempotency_key)

    @call
    def run(
        self,
        document: str | Mapping[str, Any],
        input: Any = None,
        *,
        trigger: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        wait_s: float | None = None,
        idempotency_key: str | None = None,
    ) -> Call[ExecutionDetail]:
        """Save a document under its name and start it; with `wait_s`, wait that long for its end."""
        body = {"document": document, "input": input, "trigger": trigger, "metadata": metadata or {}}
        return _start("/api/v1/executions", body, wait_s, idempotency_key)


def _start(path: str, body: Mapping[str, Any], wait_s: float | None, given_key: str | None) -> Call[ExecutionDetail]:
    params = {} if wait_s is None else {"mode": "sync", "wait_s": wait_s}
    headers = {"Idempotency-Key": key(given_key)}
    return Call("POST", path, ExecutionDetail, params=params, headers=headers, body=body, extra_s=wait_s or 0)
