"""Control: wait for people to approve or reject."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import Field, StringConstraints

from engine.dag.control.approval import ROLE, voters
from engine.dag.durations import Duration
from engine.dag.input_schema import schema_issues
from engine.dag.paths import join_path
from engine.errors import INVALID_CONFIG, Issue, NodeError
from engine.nodes.base import NodeContext, NodeParams, ResultModel, node
from engine.nodes.markers import templated_paths
from engine.nodes.param_issues import INVALID_PARAM

MAX_FORM_BYTES = 65_536
Approver = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class ApprovalParams(NodeParams):
    """Wait for people: until enough of them approve, one too many rejects, or the time runs out.

    Words count once a person. `quorum` approvals emit `approved`. With a quorum of 1 the first rejection emits
    `rejected`; with a larger one, the rejection that puts the quorum out of reach of the `approvers`, or, where a role
    or nobody is named, as many rejections as the quorum. A node that is skipped, or whose failure is handled, emits
    `rejected`: only people approve.
    """

    approvers: list[Approver] = Field(
        default_factory=list[Approver],
        max_length=100,
        description="Who may decide: people by id or e-mail, or role:<name>, such as role:admin; "
        "empty: anybody who may run the workflow",
    )
    quorum: int = Field(default=1, ge=1, le=100, description="How many people must approve")
    form: dict[str, Any] | None = Field(
        default=None, description="JSON Schema of what an approver fills in; checked with each approval"
    )
    message: str = Field(default="", max_length=10_000, description="What people are asked")
    timeout: Duration | None = Field(
        default=None,
        description="Longest wait for people, then port `timeout`; without it there is no end. "
        "The node's own `timeout` bounds only the evaluation of these parameters",
    )
    allow_self: bool = Field(default=False, description="Whether the person who started the execution may decide too")


class Word(ResultModel):
    by: str = Field(description="Who said it")
    decision: Literal["approved", "rejected"] = Field(description="What")
    form: Any = Field(default=None, description="The form as it was filled in")
    comment: str = Field(description="What was added")
    at: float = Field(description="When, in seconds since 1970, UTC")


class ApprovalResult(ResultModel):
    decision: Literal["approved", "rejected", "timeout"] = Field(description="What was decided")
    by: str | None = Field(description="Who said the last word; null after a timeout")
    form: Any = Field(default=None, description="The form as that person filled it in")
    comment: str = Field(description="What that person added")
    decisions: list[Word] = Field(description="Every word, in order")


def _check(raw: Mapping[str, Any], path: str) -> list[Issue]:
    """What is known before it runs: whether the form is a schema, and whether the quorum can be reached."""
    issues: list[Issue] = []
    form = raw.get("form")
    if isinstance(form, dict) and next(iter(templated_paths(form)), None) is None:
        issues += schema_issues(cast("dict[str, Any]", form), join_path(path, "form"))
    approvers, quorum = raw.get("approvers"), raw.get("quorum", 1)
    if isinstance(approvers, list) and isinstance(quorum, int):
        issues += _quorum_issues(cast("list[Any]", approvers), quorum, path)
    return issues


def _quorum_issues(approvers: list[Any], quorum: int, path: str) -> list[Issue]:
    names = [name for name in approvers if isinstance(name, str)]
    for number, name in enumerate(names):
        if name.strip() == ROLE:
            where = join_path(path, "approvers", number)
            return [Issue(INVALID_PARAM, where, "role: names no role", "write role:admin, for example")]
    people = voters(names)
    if len(names) < len(approvers) or any("{{" in name for name in names) or people is None or quorum <= people:
        return []
    message = f"the quorum is {quorum}, and {people} different people are named"
    return [Issue(INVALID_PARAM, join_path(path, "quorum"), message, "lower the quorum, or name more approvers")]


@node(
    "approval",
    category="control",
    kind="durable",
    icon="stamp",
    ports=("approved", "rejected", "timeout", "error"),
    default_port="rejected",
    result=ApprovalResult,
    check=_check,
    examples=[
        {"title": "Anybody, within a day", "params": {"message": "Pay {{ input.total }}?", "timeout": "1d"}},
        {
            "title": "Two of three, with a form",
            "params": {
                "approvers": ["ada@example.com", "ben@example.com", "cleo@example.com"],
                "quorum": 2,
                "message": "Release {{ input.version }}?",
                "form": {
                    "type": "object",
                    "properties": {"ticket": {"type": "string", "minLength": 1}},
                    "required": ["ticket"],
                },
            },
        },
    ],
)
async def open_approval(params: ApprovalParams, context: NodeContext) -> dict[str, Any]:
    """The parameters as plain data, with `timeout_s` (float or None) for `timeout`."""
    _check_form(params.form)
    return {
        "approvers": params.approvers,
        "quorum": params.quorum,
        "form": params.form,
        "message": params.message,
        "timeout_s": None if params.timeout is None else params.timeout.total_seconds(),
        "allow_self": params.allow_self,
    }


def _check_form(form: dict[str, Any] | None) -> None:
    """A form that holds templates is known only now. Raises: NodeError INVALID_CONFIG."""
    if form is None:
        return
    issues = schema_issues(form, "params.form")
    if issues:
        details = {"issues": [issue.as_dict() for issue in issues]}
        raise NodeError(f"approval: {issues[0].path}: {issues[0].message}", code=INVALID_CONFIG, details=details)
    if len(json.dumps(form)) > MAX_FORM_BYTES:
        raise NodeError(f"approval: the form is larger than {MAX_FORM_BYTES} bytes", code=INVALID_CONFIG)
