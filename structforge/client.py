"""The Python client of the HTTP API, synchronous and asynchronous, with typed replies.

    with Client("http://127.0.0.1:8400", api_key) as client:
        execution = client.run_document(document, {"min_total": 5}, wait_s=30)
        print(execution.status, execution.output)

Errors are those of `engine.errors`: ValidationFailed with every issue, NotFound, Conflict, AccessDenied,
Unauthenticated, TooLarge, and SystemFault if the server cannot be reached or lacks a part.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any
from uuid import UUID

import httpx2

from api.approvals.schemas import ApprovalReply
from api.executions.schemas import ExecutionDetail, ExecutionReply, NodeExecutionReply
from api.me.schemas import MeReply
from api.node_types.schemas import NodeTypeReply
from api.schemas import Page
from api.system.schemas import Readiness
from api.workflows.schemas import Validation, WorkflowDetail, WorkflowReply
from structforge.client_calls import Call, Reply, calls, error_of, unreachable

__all__ = [
    "ApprovalReply",
    "AsyncClient",
    "Client",
    "ExecutionDetail",
    "ExecutionReply",
    "MeReply",
    "NodeExecutionReply",
    "NodeTypeReply",
    "Page",
    "Readiness",
    "Validation",
    "WorkflowDetail",
    "WorkflowReply",
]

TIMEOUT_S = 30.0
Id = UUID | str


class Client:
    """The API at `base_url` (without `/api/v1`), called with an API key."""

    def __init__(self, base_url: str, api_key: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self._http = httpx2.Client(base_url=base_url, headers=_headers(api_key), timeout=timeout_s, trust_env=False)
        self._timeout_s = timeout_s

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def _send(self, call: Call[Reply]) -> Reply:
        try:
            response = self._http.request(**call.arguments(self._timeout_s))
        except httpx2.HTTPError as error:
            raise unreachable(error) from None
        if response.status_code not in call.accepts:
            raise error_of(response)
        return call.read(response)

    # ---- the installation

    def me(self) -> MeReply:
        return self._send(calls.me())

    def ready(self) -> Readiness:
        return self._send(calls.ready())

    def node_types(self) -> list[NodeTypeReply]:
        return self._send(calls.node_types())

    def node_type(self, name: str) -> NodeTypeReply:
        return self._send(calls.node_type(name))

    # ---- workflows

    def validate(self, document: str | Mapping[str, Any]) -> Validation:
        """Issues of a document; text is read as YAML or JSON."""
        return self._send(calls.validate(document))

    def create_workflow(self, document: str | Mapping[str, Any]) -> WorkflowDetail:
        return self._send(calls.create_workflow(document))

    def apply_workflow(self, document: str | Mapping[str, Any]) -> WorkflowDetail:
        """Create the workflow of this name, or save and publish its next version."""
        return self._send(calls.apply_workflow(document))

    def update_workflow(
        self, workflow_id: Id, document: str | Mapping[str, Any], *, expected_version: int | None = None
    ) -> WorkflowDetail:
        """Save and publish the next version; Conflict if the latest is not `expected_version`."""
        return self._send(calls.update_workflow(workflow_id, document, expected_version))

    def workflow(self, workflow_id: Id) -> WorkflowDetail:
        return self._send(calls.workflow(workflow_id))

    def workflows(
        self, *, search: str | None = None, status: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> Page[WorkflowReply]:
        return self._send(calls.workflows(search=search, status=status, cursor=cursor, limit=limit))

    def archive_workflow(self, workflow_id: Id) -> None:
        self._send(calls.archive_workflow(workflow_id))

    # ---- starts

    def execute(
        self,
        workflow_id: Id,
        input_data: Any = None,
        *,
        trigger: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        version: int | None = None,
        wait_s: float | None = None,
        idempotency_key: str | None = None,
    ) -> ExecutionDetail:
        """Start an execution; with `wait_s`, wait that long for its end."""
        body = {"input": input_data, "trigger": trigger, "metadata": metadata or {}, "version": version}
        return self._send(calls.execute(workflow_id, body, wait_s, idempotency_key))

    def run_document(
        self,
        document: str | Mapping[str, Any],
        input_data: Any = None,
        *,
        trigger: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        wait_s: float | None = None,
        idempotency_key: str | None = None,
    ) -> ExecutionDetail:
        """Save a document under its name and start it; with `wait_s`, wait that long for its end."""
        body = {"document": document, "input": input_data, "trigger": trigger, "metadata": metadata or {}}
        return self._send(calls.run_document(body, wait_s, idempotency_key))

    def rerun(
        self,
        execution_id: Id,
        from_node: str | None = None,
        *,
        input_data: Any = None,
        idempotency_key: str | None = None,
    ) -> ExecutionDetail:
        """Repeat an execution from a node on, or whole."""
        return self._send(calls.rerun(execution_id, from_node, input_data, idempotency_key))

    # ---- executions

    def execution(self, execution_id: Id, *, full: bool = False) -> ExecutionDetail:
        return self._send(calls.execution(execution_id, full))

    def executions(
        self,
        *,
        workflow_id: Id | None = None,
        status: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[ExecutionReply]:
        """Newest first; `status` may be several, with commas."""
        return self._send(calls.executions(workflow_id=workflow_id, status=status, cursor=cursor, limit=limit))

    def nodes(
        self,
        execution_id: Id,
        *,
        path: str | None = None,
        status: str | None = None,
        full: bool = False,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[NodeExecutionReply]:
        return self._send(calls.nodes(execution_id, path=path, status=status, full=full, cursor=cursor, limit=limit))

    def cancel(self, execution_id: Id) -> ExecutionDetail:
        return self._send(calls.command(execution_id, "cancel"))

    def pause(self, execution_id: Id) -> ExecutionDetail:
        return self._send(calls.command(execution_id, "pause"))

    def resume(self, execution_id: Id) -> ExecutionDetail:
        return self._send(calls.command(execution_id, "resume"))

    def skip_node(self, execution_id: Id, path: str, output: Any = None, *, iteration: list[int] | None = None) -> None:
        """Give a node an output in place of running it."""
        self._send(calls.skip_node(execution_id, path, output, iteration or []))

    def retry_node(self, execution_id: Id, path: str, *, iteration: list[int] | None = None) -> None:
        """Try a node that waits for its next attempt at once."""
        self._send(calls.retry_node(execution_id, path, iteration or []))

    # ---- approvals

    def approvals(
        self,
        *,
        status: str | None = None,
        execution_id: Id | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[ApprovalReply]:
        """Newest first; `status` may be several, with commas, such as open."""
        return self._send(calls.approvals(status=status, execution_id=execution_id, cursor=cursor, limit=limit))

    def approval(self, approval_id: Id) -> ApprovalReply:
        return self._send(calls.approval(approval_id))

    def decide(self, approval_id: Id, decision: str, *, form: Any = None, comment: str = "") -> ApprovalReply:
        """Say approved or rejected."""
        return self._send(calls.decide(approval_id, decision, form, comment))

    def decide_node(
        self,
        execution_id: Id,
        path: str,
        decision: str,
        *,
        form: Any = None,
        comment: str = "",
        iteration: list[int] | None = None,
    ) -> ApprovalReply:
        """Say approved or rejected to the node of an execution that waits."""
        return self._send(calls.decide_node(execution_id, path, decision, form, comment, iteration or []))


class AsyncClient:
    """The same as `Client`, for asyncio."""

    def __init__(self, base_url: str, api_key: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self._http = httpx2.AsyncClient(
            base_url=base_url, headers=_headers(api_key), timeout=timeout_s, trust_env=False
        )
        self._timeout_s = timeout_s

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def _send(self, call: Call[Reply]) -> Reply:
        try:
            response = await self._http.request(**call.arguments(self._timeout_s))
        except httpx2.HTTPError as error:
            raise unreachable(error) from None
        if response.status_code not in call.accepts:
            raise error_of(response)
        return call.read(response)

    # ---- the installation

    async def me(self) -> MeReply:
        return await self._send(calls.me())

    async def ready(self) -> Readiness:
        return await self._send(calls.ready())

    async def node_types(self) -> list[NodeTypeReply]:
        return await self._send(calls.node_types())

    async def node_type(self, name: str) -> NodeTypeReply:
        return await self._send(calls.node_type(name))

    # ---- workflows

    async def validate(self, document: str | Mapping[str, Any]) -> Validation:
        """Issues of a document; text is read as YAML or JSON."""
        return await self._send(calls.validate(document))

    async def create_workflow(self, document: str | Mapping[str, Any]) -> WorkflowDetail:
        return await self._send(calls.create_workflow(document))

    async def apply_workflow(self, document: str | Mapping[str, Any]) -> WorkflowDetail:
        """Create the workflow of this name, or save and publish its next version."""
        return await self._send(calls.apply_workflow(document))

    async def update_workflow(
        self, workflow_id: Id, document: str | Mapping[str, Any], *, expected_version: int | None = None
    ) -> WorkflowDetail:
        """Save and publish the next version; Conflict if the latest is not `expected_version`."""
        return await self._send(calls.update_workflow(workflow_id, document, expected_version))

    async def workflow(self, workflow_id: Id) -> WorkflowDetail:
        return await self._send(calls.workflow(workflow_id))

    async def workflows(
        self, *, search: str | None = None, status: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> Page[WorkflowReply]:
        return await self._send(calls.workflows(search=search, status=status, cursor=cursor, limit=limit))

    async def archive_workflow(self, workflow_id: Id) -> None:
        await self._send(calls.archive_workflow(workflow_id))

    # ---- starts

    async def execute(
        self,
        workflow_id: Id,
        input_data: Any = None,
        *,
        trigger: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        version: int | None = None,
        wait_s: float | None = None,
        idempotency_key: str | None = None,
    ) -> ExecutionDetail:
        """Start an execution; with `wait_s`, wait that long for its end."""
        body = {"input": input_data, "trigger": trigger, "metadata": metadata or {}, "version": version}
        return await self._send(calls.execute(workflow_id, body, wait_s, idempotency_key))

    async def run_document(
        self,
        document: str | Mapping[str, Any],
        input_data: Any = None,
        *,
        trigger: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        wait_s: float | None = None,
        idempotency_key: str | None = None,
    ) -> ExecutionDetail:
        """Save a document under its name and start it; with `wait_s`, wait that long for its end."""
        body = {"document": document, "input": input_data, "trigger": trigger, "metadata": metadata or {}}
        return await self._send(calls.run_document(body, wait_s, idempotency_key))

    async def rerun(
        self,
        execution_id: Id,
        from_node: str | None = None,
        *,
        input_data: Any = None,
        idempotency_key: str | None = None,
    ) -> ExecutionDetail:
        """Repeat an execution from a node on, or whole."""
        return await self._send(calls.rerun(execution_id, from_node, input_data, idempotency_key))

    # ---- executions

    async def execution(self, execution_id: Id, *, full: bool = False) -> ExecutionDetail:
        return await self._send(calls.execution(execution_id, full))

    async def executions(
        self,
        *,
        workflow_id: Id | None = None,
        status: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[ExecutionReply]:
        """Newest first; `status` may be several, with commas."""
        return await self._send(calls.executions(workflow_id=workflow_id, status=status, cursor=cursor, limit=limit))

    async def nodes(
        self,
        execution_id: Id,
        *,
        path: str | None = None,
        status: str | None = None,
        full: bool = False,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[NodeExecutionReply]:
        return await self._send(
            calls.nodes(execution_id, path=path, status=status, full=full, cursor=cursor, limit=limit)
        )

    async def cancel(self, execution_id: Id) -> ExecutionDetail:
        return await self._send(calls.command(execution_id, "cancel"))

    async def pause(self, execution_id: Id) -> ExecutionDetail:
        return await self._send(calls.command(execution_id, "pause"))

    async def resume(self, execution_id: Id) -> ExecutionDetail:
        return await self._send(calls.command(execution_id, "resume"))

    async def skip_node(
        self, execution_id: Id, path: str, output: Any = None, *, iteration: list[int] | None = None
    ) -> None:
        """Give a node an output in place of running it."""
        await self._send(calls.skip_node(execution_id, path, output, iteration or []))

    async def retry_node(self, execution_id: Id, path: str, *, iteration: list[int] | None = None) -> None:
        """Try a node that waits for its next attempt at once."""
        await self._send(calls.retry_node(execution_id, path, iteration or []))

    # ---- approvals

    async def approvals(
        self,
        *,
        status: str | None = None,
        execution_id: Id | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[ApprovalReply]:
        """Newest first; `status` may be several, with commas, such as open."""
        return await self._send(calls.approvals(status=status, execution_id=execution_id, cursor=cursor, limit=limit))

    async def approval(self, approval_id: Id) -> ApprovalReply:
        return await self._send(calls.approval(approval_id))

    async def decide(self, approval_id: Id, decision: str, *, form: Any = None, comment: str = "") -> ApprovalReply:
        """Say approved or rejected."""
        return await self._send(calls.decide(approval_id, decision, form, comment))

    async def decide_node(
        self,
        execution_id: Id,
        path: str,
        decision: str,
        *,
        form: Any = None,
        comment: str = "",
        iteration: list[int] | None = None,
    ) -> ApprovalReply:
        """Say approved or rejected to the node of an execution that waits."""
        return await self._send(calls.decide_node(execution_id, path, decision, form, comment, iteration or []))


def _headers(api_key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {api_key}", "Accept": "application/json"}
