"""The calls of the HTTP API: what each sends, what it accepts, how its reply is read. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast
from urllib.parse import quote
from uuid import UUID

import httpx2
from pydantic import BaseModel, TypeAdapter

from api.approvals.schemas import ApprovalReply
from api.executions.schemas import ExecutionDetail, ExecutionReply, NodeExecutionReply
from api.me.schemas import MeReply
from api.node_types.schemas import NodeTypeReply
from api.schemas import Page
from api.system.schemas import Readiness
from api.workflows.schemas import Validation, WorkflowDetail, WorkflowReply
from engine.errors import (
    AccessDenied,
    Conflict,
    Issue,
    NotFound,
    StructForgeError,
    SystemFault,
    TooLarge,
    Unauthenticated,
    ValidationFailed,
)

Reply = TypeVar("Reply")
Id = UUID | str
_PREFIX = "/api/v1"
_NODE_TYPES = TypeAdapter(list[NodeTypeReply])
_ERRORS: dict[int, type[StructForgeError]] = {
    401: Unauthenticated,
    403: AccessDenied,
    404: NotFound,
    409: Conflict,
    412: Conflict,
    413: TooLarge,
    429: Conflict,
    503: SystemFault,
}


@dataclass(frozen=True, slots=True)
class Call(Generic[Reply]):
    """One request and the reading of its reply; `extra_s` is how long the server may wait before it answers."""

    method: str
    path: str
    read: Callable[[httpx2.Response], Reply]
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    json: Any = None
    content: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    accepts: tuple[int, ...] = (200, 201, 202, 204)
    extra_s: float = 0

    def arguments(self, timeout_s: float) -> dict[str, Any]:
        """Arguments of httpx2's `request`."""
        given = {name: value for name, value in self.params.items() if value is not None}
        arguments: dict[str, Any] = {"method": self.method, "url": self.path, "params": given, "headers": self.headers}
        arguments["timeout"] = timeout_s + self.extra_s
        if self.json is not None:
            arguments["json"] = self.json
        if self.content is not None:
            arguments["content"] = self.content.encode()
        return arguments


def error_of(response: httpx2.Response) -> StructForgeError:
    """The error that an answer tells of."""
    try:
        body = response.json()
    except ValueError:
        body = None
    problem = cast("dict[str, Any]", body if isinstance(body, dict) else {})
    code = problem.get("code")
    message = str(problem.get("detail") or f"the server answered {response.status_code}")
    if problem.get("issues") and response.status_code in (400, 422):
        failure = ValidationFailed([_issue(raw) for raw in problem["issues"]], message)
        failure.code = str(code)
        return failure
    kind = _ERRORS.get(response.status_code, StructForgeError)
    return kind(message, code=None if code is None else str(code), details=problem.get("details") or {})


def unreachable(error: Exception) -> SystemFault:
    """The server did not answer at all."""
    reason = str(error) or type(error).__name__
    return SystemFault(f"the StructForge server did not answer: {reason}", code="UNREACHABLE")


def _issue(raw: dict[str, Any]) -> Issue:
    known = {name: str(raw.get(name, "")) for name in ("code", "path", "message", "hint")}
    return Issue(**known, severity="warning" if raw.get("severity") == "warning" else "error")


def _model(model: type[Reply]) -> Callable[[httpx2.Response], Reply]:
    assert issubclass(model, BaseModel)
    return lambda response: cast("Reply", model.model_validate_json(response.content))


def _nothing(_: httpx2.Response) -> None:
    return None


class Calls:
    """Every route, one method each."""

    def me(self) -> Call[MeReply]:
        return Call("GET", f"{_PREFIX}/me", _model(MeReply))

    def ready(self) -> Call[Readiness]:
        return Call("GET", "/readyz", _model(Readiness), accepts=(200, 503))

    def node_types(self) -> Call[list[NodeTypeReply]]:
        return Call("GET", f"{_PREFIX}/node-types", lambda response: _NODE_TYPES.validate_json(response.content))

    def node_type(self, name: str) -> Call[NodeTypeReply]:
        return Call("GET", f"{_PREFIX}/node-types/{_part(name)}", _model(NodeTypeReply))

    def validate(self, document: str | Mapping[str, Any]) -> Call[Validation]:
        return _document_call("POST", f"{_PREFIX}/workflows/validate", document, _model(Validation))

    def create_workflow(self, document: str | Mapping[str, Any]) -> Call[WorkflowDetail]:
        return _document_call("POST", f"{_PREFIX}/workflows", document, _model(WorkflowDetail))

    def apply_workflow(self, document: str | Mapping[str, Any]) -> Call[WorkflowDetail]:
        save = {"if_exists": "save"}
        return _document_call("POST", f"{_PREFIX}/workflows", document, _model(WorkflowDetail), params=save)

    def update_workflow(
        self, workflow_id: Id, document: str | Mapping[str, Any], expected_version: int | None
    ) -> Call[WorkflowDetail]:
        headers = {} if expected_version is None else {"If-Match": f'"{expected_version}"'}
        path = f"{_PREFIX}/workflows/{_part(workflow_id)}"
        return _document_call("PUT", path, document, _model(WorkflowDetail), headers)

    def workflow(self, workflow_id: Id) -> Call[WorkflowDetail]:
        return Call("GET", f"{_PREFIX}/workflows/{_part(workflow_id)}", _model(WorkflowDetail))

    def workflows(self, **params: Any) -> Call[Page[WorkflowReply]]:
        return Call("GET", f"{_PREFIX}/workflows", _model(Page[WorkflowReply]), params=params)

    def archive_workflow(self, workflow_id: Id) -> Call[None]:
        return Call("DELETE", f"{_PREFIX}/workflows/{_part(workflow_id)}", _nothing)

    def execute(
        self, workflow_id: Id, body: Mapping[str, Any], wait_s: float | None, key: str | None
    ) -> Call[ExecutionDetail]:
        return _start_call(f"{_PREFIX}/workflows/{_part(workflow_id)}/execute", body, wait_s, key)

    def run_document(self, body: Mapping[str, Any], wait_s: float | None, key: str | None) -> Call[ExecutionDetail]:
        return _start_call(f"{_PREFIX}/executions", body, wait_s, key)

    def rerun(self, execution_id: Id, from_node: str | None, input_data: Any, key: str | None) -> Call[ExecutionDetail]:
        body = {"from_node": from_node} | ({} if input_data is None else {"input": input_data})
        return _start_call(f"{_PREFIX}/executions/{_part(execution_id)}/rerun", body, None, key)

    def execution(self, execution_id: Id, full: bool) -> Call[ExecutionDetail]:
        path = f"{_PREFIX}/executions/{_part(execution_id)}"
        return Call("GET", path, _model(ExecutionDetail), params={"full": full})

    def executions(self, **params: Any) -> Call[Page[ExecutionReply]]:
        return Call("GET", f"{_PREFIX}/executions", _model(Page[ExecutionReply]), params=params)

    def nodes(self, execution_id: Id, **params: Any) -> Call[Page[NodeExecutionReply]]:
        path = f"{_PREFIX}/executions/{_part(execution_id)}/nodes"
        return Call("GET", path, _model(Page[NodeExecutionReply]), params=params)

    def command(self, execution_id: Id, name: str) -> Call[ExecutionDetail]:
        return Call("POST", f"{_PREFIX}/executions/{_part(execution_id)}/{name}", _model(ExecutionDetail))

    def skip_node(self, execution_id: Id, path: str, output: Any, iteration: list[int]) -> Call[None]:
        body = {"iteration": iteration, "output": output}
        return Call("POST", _node_path(execution_id, path, "skip"), _nothing, json=body)

    def retry_node(self, execution_id: Id, path: str, iteration: list[int]) -> Call[None]:
        return Call("POST", _node_path(execution_id, path, "retry"), _nothing, json={"iteration": iteration})

    def approvals(self, **params: Any) -> Call[Page[ApprovalReply]]:
        return Call("GET", f"{_PREFIX}/approvals", _model(Page[ApprovalReply]), params=params)

    def approval(self, approval_id: Id) -> Call[ApprovalReply]:
        return Call("GET", f"{_PREFIX}/approvals/{_part(approval_id)}", _model(ApprovalReply))

    def decide(self, approval_id: Id, decision: str, form: Any, comment: str) -> Call[ApprovalReply]:
        body = {"decision": decision, "form": form, "comment": comment}
        return Call("POST", f"{_PREFIX}/approvals/{_part(approval_id)}", _model(ApprovalReply), json=body)

    def decide_node(
        self, execution_id: Id, path: str, decision: str, form: Any, comment: str, iteration: list[int]
    ) -> Call[ApprovalReply]:
        body = {"decision": decision, "form": form, "comment": comment, "iteration": iteration}
        return Call("POST", _node_path(execution_id, path, "approve"), _model(ApprovalReply), json=body)


calls = Calls()


def _document_call(
    method: str,
    path: str,
    document: str | Mapping[str, Any],
    read: Callable[[httpx2.Response], Reply],
    headers: Mapping[str, str] | None = None,
    *,
    params: Mapping[str, Any] | None = None,
) -> Call[Reply]:
    query = params or {}
    if isinstance(document, str):
        typed = {**(headers or {}), "Content-Type": "application/yaml"}  # JSON is YAML enough to be read the same way
        return Call(method, path, read, query, content=document, headers=typed)
    return Call(method, path, read, query, json={"document": document}, headers=headers or {})


def _start_call(path: str, body: Mapping[str, Any], wait_s: float | None, key: str | None) -> Call[ExecutionDetail]:
    params = {} if wait_s is None else {"mode": "sync", "wait_s": wait_s}
    headers = {} if key is None else {"Idempotency-Key": key}
    return Call("POST", path, _model(ExecutionDetail), params=params, json=body, headers=headers, extra_s=wait_s or 0)


def _node_path(execution_id: Id, path: str, verb: str) -> str:
    return f"{_PREFIX}/executions/{_part(execution_id)}/nodes/{_part(path)}/{verb}"


def _part(value: Id) -> str:
    return quote(str(value), safe="")
