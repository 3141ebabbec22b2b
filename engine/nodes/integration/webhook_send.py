"""Integration: send a webhook, signed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from engine.dag.durations import Duration
from engine.errors import INVALID_CONFIG, Issue, NodeError
from engine.nodes.base import Credential, NodeContext, NodeParams, NodeResult, ResultModel, node
from engine.nodes.json_text import dump_json
from engine.nodes.known_values import known_value_issues
from engine.nodes.outbound.answers import failure_of, status_ranges
from engine.nodes.outbound.bodies import pairs
from engine.nodes.outbound.redaction import Redaction
from engine.nodes.outbound.signing import Secrets, secrets_of
from engine.nodes.outbound.targets import check_given_headers, parse_url
from engine.nodes.outbound.webhooks import delivery_id, signature_of, signing_key
from engine.nodes.param_issues import structure_error
from engine.nodes.ports import HttpRequest, required

_SUCCESS = status_ranges(["2xx"])
_MAX_RESPONSE_BYTES = 1_000_000
Scalar = str | int | float | bool | None


class WebhookSendParams(NodeParams):
    """Send data as JSON to a URL that waits for it, signed after the Standard Webhooks scheme.

    With a credential of type `hmac`, the headers are `webhook-id`, `webhook-timestamp` and `webhook-signature`
    (`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`); its secret is text, or base64 behind `whsec_`.
    Without a credential the delivery is not signed; one of type `bearer`, `basic` or `api_key` authenticates it as the
    node `http` does. The id is the same in every attempt of a node execution, so that a receiver can drop what it has
    had: a delivery may arrive more than once. Connection faults and the statuses 408, 425, 429 and 5xx are worth
    another attempt, `Retry-After` is honoured. Redirects are not followed.
    """

    url: str = Field(min_length=1, description="Absolute http(s) URL of the receiver")
    method: Literal["POST", "PUT", "PATCH"] = Field(default="POST", description="HTTP method")
    headers: dict[str, Scalar] = Field(
        default_factory=dict[str, Any], description="More headers; null is left out; webhook-... are set by the node"
    )
    body: Any = Field(default=None, description="Any data, sent as JSON")
    timeout: Duration = Field(
        default="15s",  # pyright: ignore[reportAssignmentType]  # read by the validator of Duration
        validate_default=True,
        description="For the connection and the whole answer",
    )
    idempotent: bool = Field(
        default=True,
        description="Whether a delivery whose fate is not known may be sent again; receivers tell it by its id",
    )

    @field_validator("method", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("headers", mode="after")
    @classmethod
    def _not_ours(cls, value: dict[str, Scalar]) -> dict[str, Scalar]:
        ours = [name for name in value if name.lower().startswith("webhook-")]
        if ours:
            raise structure_error(f"the header {ours[0]} is set by the node: leave it out")
        return value


class WebhookSendResult(ResultModel):
    status: int = Field(description="HTTP status of the answer")
    delivery_id: str = Field(description="What the header webhook-id held")


def _check(raw: Mapping[str, Any], path: str) -> list[Issue]:
    """URL and headers by the rules of a request that is sent."""
    return [
        *known_value_issues(raw, path, "url", str, parse_url, "such as https://partner.example/hooks"),
        *known_value_issues(raw, path, "headers", dict, check_given_headers, "such as {x-source: shop}"),
    ]


@node(
    "webhook_send",
    category="integration",
    kind="io",
    name="Send webhook",
    icon="send",
    idempotent=lambda params: params.get("idempotent", True) is True,
    result=WebhookSendResult,
    check=_check,
    examples=[
        {
            "title": "Tell a receiver what happened",
            "params": {
                "url": "https://partner.example/hooks/orders",
                "body": {
                    "type": "order.shipped",
                    "timestamp": "{{ execution.started_at }}",
                    "data": {"id": "{{ input.order_id }}"},
                },
            },
        }
    ],
)
async def webhook_send(params: WebhookSendParams, context: NodeContext) -> NodeResult:
    message_id = delivery_id(context.idempotency_key)
    body = _encoded(params.body)
    secrets = _secrets(context.credential, message_id, body)
    request = HttpRequest(
        method=params.method,
        url=params.url,
        headers=_headers(params, message_id, secrets),
        content=body,
        secret_headers=secrets.headers,
        secret_query=secrets.query,
        timeout_s=min(params.timeout.total_seconds(), context.own_deadline_s),
        max_redirects=0,
        max_response_bytes=_MAX_RESPONSE_BYTES,
        idempotent=params.idempotent,
        allowed_hosts=None if context.credential is None else context.credential.get("allowed_hosts"),
    )
    redaction = Redaction(secrets.values)
    try:
        response = await required(context.ports.http, "HTTP client").send(request)
        if not any(response.status in codes for codes in _SUCCESS):
            raise failure_of(response, params.method)
    except NodeError as error:
        error.details = {**error.details, "delivery_id": message_id}
        raise redaction.error(error) from None
    context.log("debug", f"the receiver answered {response.status}", delivery_id=message_id)
    return NodeResult({"status": response.status, "delivery_id": message_id})


def _encoded(body: Any) -> bytes:
    try:
        return dump_json(body)
    except ValueError as error:
        raise NodeError(f"body: {error}", code=INVALID_CONFIG) from None


def _secrets(credential: Credential | None, message_id: str, body: bytes) -> Secrets:
    """What the credential adds to the request. A signature belongs to one receiver, as a secret does."""
    if credential is None or credential["type"] != "hmac":
        return secrets_of(credential)
    secret = credential.get("secret", "")
    now_s = int(time.time())
    signature = signature_of(signing_key(secret), message_id, now_s, body)
    headers = [("webhook-timestamp", str(now_s)), ("webhook-signature", signature)]
    return Secrets(headers, values=[secret, signature])


def _headers(params: WebhookSendParams, message_id: str, secrets: Secrets) -> list[tuple[str, str]]:
    try:
        given = pairs(dict(params.headers), "the header")
    except ValueError as error:
        raise NodeError(str(error), code=INVALID_CONFIG) from None
    signed = {name.lower() for name, _ in secrets.headers}
    names = {name.lower() for name, _ in given}
    ours = [("webhook-id", message_id)]
    ours += [] if "content-type" in names else [("content-type", "application/json")]
    ours += [] if "webhook-timestamp" in signed else [("webhook-timestamp", str(int(time.time())))]
    return [*ours, *(item for item in given if item[0].lower() not in signed)]
