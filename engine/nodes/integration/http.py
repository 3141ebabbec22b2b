"""Integration: one HTTP request."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import Field, field_validator

from engine.dag.durations import Duration
from engine.errors import INVALID_CONFIG, Issue, NodeError
from engine.nodes.base import Credential, NodeContext, NodeParams, NodeResult, ResultModel, node
from engine.nodes.known_values import known_value_issues
from engine.nodes.outbound.answers import ResponseType, decode_body, failure_of, status_ranges
from engine.nodes.outbound.bodies import BodyType, encode_body, pairs
from engine.nodes.outbound.redaction import Redaction
from engine.nodes.outbound.signing import Secrets, secrets_of
from engine.nodes.outbound.targets import check_given_headers, parse_url
from engine.nodes.ports import HttpRequest, HttpResponse, required

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_MOST_REDIRECTS = 5
_PARSED_IN_LOOP_BYTES = 256 * 1024
Scalar = str | int | float | bool | None


class HttpParams(NodeParams):
    """Call an HTTP endpoint and give its status, headers and body.

    The header `Idempotency-Key` is always sent, the same in every attempt of one node execution. Connection faults and
    the statuses 408, 425, 429 and 5xx are worth another attempt, `Retry-After` is honoured; other statuses outside
    `success_codes` are not. Internal addresses are out of reach unless an operator allows them.
    """

    method: Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"] = Field(
        default="GET", description="HTTP method"
    )
    url: str = Field(min_length=1, description="Absolute http(s) URL without user name and password")
    query: dict[str, Scalar | list[Scalar]] = Field(
        default_factory=dict[str, Any], description="Query parameters, added to those of the URL; null is left out"
    )
    headers: dict[str, Scalar] = Field(default_factory=dict[str, Any], description="Headers; null is left out")
    body: Any = Field(default=None, description="What is sent, in the form that body_type says")
    body_type: BodyType = Field(
        default="json",
        description="json: any data; form: an object; multipart: an object whose files are {filename, content, "
        'content_type}; text; bytes: {"base64": ...}',
    )
    timeout: Duration = Field(
        default="30s",  # pyright: ignore[reportAssignmentType]  # read by the validator of Duration
        validate_default=True,
        description="For everything: connection, redirects and the whole answer",
    )
    follow_redirects: bool = Field(default=True, description="Follow at most five redirects, each checked anew")
    success_codes: str | int | list[str | int] = Field(
        default="2xx", description="Statuses that are a success: 2xx, 404, 200-299, or a list of these"
    )
    max_response_bytes: int = Field(
        default=10_000_000, ge=0, le=100_000_000, description="Largest answer, counted as it is unpacked"
    )
    response_type: ResponseType = Field(
        default="auto", description='auto goes by the content type; json, text, bytes ({"base64": ...})'
    )
    idempotent: bool | None = Field(
        default=None, description="Whether the request may safely be sent twice; by the method if left out"
    )

    @field_validator("method", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("success_codes", mode="after")
    @classmethod
    def _rules(cls, value: str | int | list[str | int]) -> list[str | int]:
        rules = value if isinstance(value, list) else [value]
        status_ranges([rule for rule in rules if "{{" not in str(rule)])
        return rules

    @property
    def may_repeat(self) -> bool:
        return self.method in _IDEMPOTENT if self.idempotent is None else self.idempotent


class HttpResult(ResultModel):
    status: int = Field(description="HTTP status")
    headers: dict[str, str] = Field(description="Headers, names in lower case")
    body: Any = Field(description="JSON data, text, bytes as {base64}, or null if there is none")
    url: str = Field(description="Where the answer came from, after redirects")
    elapsed_ms: float = Field(description="From the request to the end of the answer")


def _may_repeat(params: dict[str, Any]) -> bool:
    declared = params.get("idempotent")
    return declared if isinstance(declared, bool) else str(params.get("method", "GET")).upper() in _IDEMPOTENT


def _check(raw: Mapping[str, Any], path: str) -> list[Issue]:
    """URL, headers and body by the rules of a request that is sent."""
    body_type = raw.get("body_type", "json")
    issues = known_value_issues(raw, path, "url", str, parse_url, "such as https://shop.example/orders")
    issues += known_value_issues(raw, path, "headers", dict, check_given_headers, "such as {accept: text/csv}")
    if body_type in get_args(BodyType):
        issues += known_value_issues(
            raw,
            path,
            "body",
            object,
            lambda body: body is None or encode_body(body, body_type),
            f"body_type: {body_type}",
        )
    return issues


@node(
    "http",
    category="integration",
    kind="io",
    name="HTTP request",
    icon="globe",
    idempotent=_may_repeat,
    result=HttpResult,
    check=_check,
    examples=[
        {
            "title": "Read JSON",
            "params": {"url": "https://shop.example/orders", "query": {"currency": "{{ vars.currency }}"}},
        },
        {
            "title": "Send JSON, and take 409 for done",
            "params": {
                "method": "POST",
                "url": "https://shop.example/orders",
                "body": {"id": "{{ input.id }}"},
                "success_codes": ["2xx", 409],
            },
        },
        {
            "title": "Upload a file",
            "params": {
                "method": "POST",
                "url": "https://files.example/upload",
                "body_type": "multipart",
                "body": {
                    "note": "weekly",
                    "file": {
                        "filename": "week.csv",
                        "content": "{{ nodes.table.output.content }}",
                        "content_type": "text/csv",
                    },
                },
            },
        },
    ],
)
async def http(params: HttpParams, context: NodeContext) -> NodeResult:
    secrets = secrets_of(context.credential)
    try:
        response = await required(context.ports.http, "HTTP client").send(_request(params, context, secrets))
        if not any(response.status in codes for codes in status_ranges(_as_list(params.success_codes))):
            raise failure_of(response, params.method)
        body = await _body(response, params.response_type)
    except NodeError as error:
        raise _redacted(error, secrets) from None
    context.log("debug", f"{params.method} answered {response.status}", elapsed_ms=response.elapsed_ms)
    return NodeResult(
        {
            "status": response.status,
            "headers": response.headers,
            "body": body,
            "url": response.url,
            "elapsed_ms": response.elapsed_ms,
        }
    )


def _request(params: HttpParams, context: NodeContext, secrets: Secrets) -> HttpRequest:
    headers = [(name, _header(name, value)) for name, value in params.headers.items() if value is not None]
    given = {name.lower() for name, _ in headers}
    content, content_type = b"", None
    try:
        query = pairs(params.query, "the query parameter")
        if params.body is not None:
            content, content_type = encode_body(params.body, params.body_type)
    except ValueError as error:
        raise NodeError(str(error), code=INVALID_CONFIG) from None
    if content_type is not None and "content-type" not in given:
        headers.append(("content-type", content_type))
    if context.idempotency_key and "idempotency-key" not in given:
        headers.append(("idempotency-key", context.idempotency_key))
    signed = {name.lower() for name, _ in secrets.headers}
    return HttpRequest(
        method=params.method,
        url=params.url,
        query=query,
        headers=[item for item in headers if item[0].lower() not in signed],
        content=content,
        secret_headers=secrets.headers,
        secret_query=secrets.query,
        timeout_s=min(params.timeout.total_seconds(), _own_deadline_s(context)),
        max_redirects=_MOST_REDIRECTS if params.follow_redirects else 0,
        max_response_bytes=params.max_response_bytes,
        idempotent=params.may_repeat,
        allowed_hosts=_allowed_hosts(context.credential),
    )


def _own_deadline_s(context: NodeContext) -> float:
    """A little before the attempt is cut off from outside, where nobody knows whether the request had been sent."""
    return context.deadline_s - min(0.5, context.deadline_s * 0.05)


def _header(name: str, value: Scalar) -> str:
    return pairs({name: value}, "the header")[0][1]


def _allowed_hosts(credential: Credential | None) -> list[str] | None:
    return None if credential is None else credential.get("allowed_hosts")


def _as_list(codes: str | int | list[str | int]) -> list[str | int]:
    return codes if isinstance(codes, list) else [codes]


async def _body(response: HttpResponse, response_type: ResponseType) -> Any:
    if len(response.content) > _PARSED_IN_LOOP_BYTES:
        return await asyncio.to_thread(decode_body, response, response_type)
    return decode_body(response, response_type)


def _redacted(error: NodeError, secrets: Secrets) -> NodeError:
    redaction = Redaction(secrets.values)
    return NodeError(
        redaction.text(error.message),
        code=error.code,
        details=redaction.data(error.details),
        retryable=error.retryable,
        retry_after_s=error.retry_after_s,
    )
