"""Integration: send to and receive from a message broker."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import AfterValidator, Field, field_validator

from engine.dag.durations import Duration, parse_duration
from engine.errors import INVALID_CONFIG, OUTPUT_TOO_LARGE, Issue, NodeError
from engine.nodes.base import NodeContext, NodeParams, NodeResult, ResultModel, node
from engine.nodes.messaging.bodies import MessageFormat, decode_message, encode_message
from engine.nodes.messaging.brokers import broker_of
from engine.nodes.messaging.exchange import MAX_MESSAGE_BYTES, Outgoing, Pull, Received
from engine.nodes.messaging.moments import iso_moment
from engine.nodes.messaging.names import checked_header_name, checked_name, header_texts
from engine.nodes.param_issues import INVALID_PARAM, MISSING_PARAM, format_path
from engine.nodes.ports import required

Operation = Literal["send", "receive"]
Name = Annotated[str, AfterValidator(checked_name)]
HeaderName = Annotated[str, AfterValidator(checked_header_name)]
_LONGEST_WAIT_S = 600.0
_SPARE_S = 1.0  # between the end of the wait and the end of the attempt, to take the messages in
_OF_SEND = ("message", "headers", "key", "message_id", "exchange", "max_length")
_OF_RECEIVE = ("max_messages", "wait", "group", "max_bytes")


class MessageQueueParams(NodeParams):
    """Send one message to a broker, or receive some: RabbitMQ, Redis Streams, NATS JetStream or Kafka.

    The credential is of type `connection`; its `url` begins with `amqp://`, `amqps://`, `redis://`, `rediss://`,
    `nats://`, `tls://` (NATS over TLS), `kafka://` or `kafkas://`.

    **Send** returns once the broker has confirmed the message: RabbitMQ has put it into a queue (one that reaches no
    queue is an error), a JetStream stream holds it, all in-sync replicas of Kafka have it. Its id is the same in every
    attempt of one node execution. JetStream drops a second message of one id (within two minutes, by default); the
    other brokers do not, so a send whose outcome is not known fails with OUTCOME_UNKNOWN instead of being repeated.
    Set `idempotent` where the receivers drop repeated ids, or with JetStream.

    **Receive** waits for the first message and takes what is there. The broker keeps the messages until the node's
    output is on record, and only then hears that they are received: a crash loses none, but may hand some out again,
    with `redelivered` true and the same `id`. When the attempt fails they go back at once; when its worker dies, after
    the connection breaks (RabbitMQ, Kafka), after two minutes (JetStream) or five (Redis Streams). Messages that are
    received are taken, whatever becomes of the rest of the execution.

    Kafka's part is tested without a broker, by what it asks of the driver.
    """

    operation: Operation = Field(description="send or receive")
    queue_name: Name = Field(description="Queue (RabbitMQ), stream (Redis), subject (NATS) or topic (Kafka)")
    message: Any = Field(default=None, description='send: any data, text, or {"base64": ...}')
    format: MessageFormat = Field(
        default="auto",
        description="auto goes by what the message is, or by its content type when received; json, text, bytes "
        '({"base64": ...}). What cannot be read in that form is received as text or bytes',
    )
    headers: dict[HeaderName, str | int | float | bool | None] = Field(
        default_factory=dict[str, Any], description="send: headers, carried as text; null is left out"
    )
    key: Name | None = Field(
        default=None, description="send: routing key (RabbitMQ, with exchange) or partition key (Kafka)"
    )
    exchange: Name | None = Field(
        default=None,
        description="send, RabbitMQ: an exchange that is there; the message goes to it with key, or else queue_name, "
        "as its routing key",
    )
    message_id: Name | None = Field(
        default=None,
        description="send: id by which receivers know a repeated message; by the node execution if left out",
    )
    max_length: int | None = Field(
        default=None, ge=1, description="send, Redis: about how many entries the stream keeps; older ones are dropped"
    )
    create: bool = Field(
        default=False,
        description="Make the queue if it is missing: a durable queue (RabbitMQ), a stream of that one subject (NATS). "
        "Redis makes a stream by itself; Kafka does if its broker is set up so",
    )
    max_messages: int = Field(default=10, ge=1, le=1000, description="receive: most messages at once")
    wait: Duration = Field(
        default="1s",  # pyright: ignore[reportAssignmentType]  # read by the validator of Duration
        validate_default=True,
        description="receive: longest wait for the first message, up to 10m; no message is no error",
    )
    max_bytes: int = Field(
        default=10_000_000, ge=1, le=100_000_000, description="receive: most bytes at once; the rest stays in the queue"
    )
    group: Name = Field(
        default="structforge",
        description="receive: consumer group (Redis, Kafka) or durable consumer (NATS); members of one group share the "
        "messages, each group gets all",
    )
    timeout: Duration = Field(
        default="30s",  # pyright: ignore[reportAssignmentType]  # read by the validator of Duration
        validate_default=True,
        description="For everything, the connection and the wait included",
    )
    idempotent: bool | None = Field(
        default=None,
        description="Whether the message may be sent twice; if left out, no. A receive may always run again",
    )

    @field_validator("wait", mode="after")
    @classmethod
    def _bounded(cls, value: Any) -> Any:
        if value.total_seconds() > _LONGEST_WAIT_S:
            raise ValueError("the longest wait is 10m: use a schedule or a loop to wait longer")
        return value


class ReceivedMessage(ResultModel):
    id: str | None = Field(description="The sender's id, or else the broker's; null if there is none (RabbitMQ)")
    body: Any = Field(description="JSON data, text, or bytes as {base64}")
    headers: dict[str, str] = Field(description="Headers as text")
    key: str | None = Field(description="Routing key (RabbitMQ), subject (NATS), partition key (Kafka), or null")
    timestamp: str | None = Field(description="When it was sent, ISO 8601 in UTC, if the broker or the sender says so")
    redelivered: bool = Field(description="Whether it was handed out before; Kafka does not tell")


class MessageQueueResult(ResultModel):
    message_id: str | None = Field(default=None, description="send: the message's id")
    messages: list[ReceivedMessage] | None = Field(default=None, description="receive: in the broker's order")


def _may_repeat(params: dict[str, Any]) -> bool:
    return params.get("operation") == "receive" or params.get("idempotent") is True


def _check(raw: Mapping[str, Any], path: str) -> list[Issue]:
    """What the operation needs and what it has no use for, as far as the document tells."""
    operation = raw.get("operation")
    if operation == "send":
        return [*_missing_message(raw, path), *_misplaced(raw, path, "receive", _OF_RECEIVE)]
    return [*_misplaced(raw, path, "send", _OF_SEND), *_long_wait(raw, path)] if operation == "receive" else []


def _missing_message(raw: Mapping[str, Any], path: str) -> list[Issue]:
    where = format_path(path, ("message",))
    hint = 'any data, text, or {"base64": ...}; write null to send null'
    return [] if "message" in raw else [Issue(MISSING_PARAM, where, "send needs a message", hint)]


def _misplaced(raw: Mapping[str, Any], path: str, operation: str, names: tuple[str, ...]) -> list[Issue]:
    return [
        Issue(
            INVALID_PARAM,
            format_path(path, (name,)),
            f"{name} has a meaning for {operation} alone",
            f"leave it out, or set operation to {operation}",
        )
        for name in names
        if name in raw
    ]


def _long_wait(raw: Mapping[str, Any], path: str) -> list[Issue]:
    wait_s, timeout_s = _seconds(raw.get("wait", "1s")), _seconds(raw.get("timeout", "30s"))
    if wait_s is None or timeout_s is None or wait_s + _SPARE_S <= timeout_s:
        return []
    hint = "set timeout to at least a second more than wait"
    return [Issue(INVALID_PARAM, format_path(path, ("wait",)), "the wait is longer than the timeout allows", hint)]


def _seconds(text: Any) -> float | None:
    try:
        return parse_duration(text).total_seconds() if isinstance(text, str) else None
    except ValueError:
        return None  # a template, or wrong and reported elsewhere


@node(
    "message_queue",
    category="integration",
    kind="io",
    name="Message queue",
    icon="inbox",
    idempotent=_may_repeat,
    cacheable=lambda params: params.get("operation") != "receive",
    result=MessageQueueResult,
    check=_check,
    examples=[
        {
            "title": "Send an order",
            "params": {
                "operation": "send",
                "queue_name": "orders",
                "message": {"id": "{{ input.id }}", "total": "{{ input.total }}"},
                "headers": {"source": "shop"},
            },
        },
        {
            "title": "Receive up to 50 messages, waiting up to 20 seconds for the first",
            "params": {"operation": "receive", "queue_name": "orders", "max_messages": 50, "wait": "20s"},
        },
        {
            "title": "Send to a RabbitMQ exchange",
            "params": {
                "operation": "send",
                "queue_name": "orders",
                "exchange": "events",
                "key": "order.created",
                "message": "{{ nodes.order.output }}",
            },
        },
    ],
)
async def message_queue(params: MessageQueueParams, context: NodeContext) -> NodeResult:
    return await (_send(params, context) if params.operation == "send" else _receive(params, context))


async def _send(params: MessageQueueParams, context: NodeContext) -> NodeResult:
    message = _outgoing(params, context)
    client = required(context.ports.brokers, "message broker client")
    await client.send(broker_of(context.credential), message, timeout_s=_time_s(params, context))
    context.log("debug", f"sent {len(message.body)} bytes", message_id=message.message_id)
    return NodeResult({"message_id": message.message_id})


def _outgoing(params: MessageQueueParams, context: NodeContext) -> Outgoing:
    if "message" not in params.model_fields_set:
        raise NodeError("send needs a message", code=INVALID_CONFIG, details={"parameter": "message"})
    try:
        body, content_type = encode_message(params.message, params.format)
        headers = header_texts(params.headers)
    except ValueError as error:
        raise NodeError(str(error), code=INVALID_CONFIG) from None
    if len(body) > MAX_MESSAGE_BYTES:
        raise NodeError(
            f"the message is over {MAX_MESSAGE_BYTES} bytes: store it, and send a reference to it",
            code=OUTPUT_TOO_LARGE,
            details={"bytes": len(body), "max_bytes": MAX_MESSAGE_BYTES},
        )
    return Outgoing(
        queue=params.queue_name,
        message_id=params.message_id or _own_id(context),
        body=body,
        content_type=content_type,
        headers=headers,
        key=params.key,
        exchange=params.exchange,
        create=params.create,
        max_length=params.max_length,
        repeatable=params.idempotent is True,
    )


async def _receive(params: MessageQueueParams, context: NodeContext) -> NodeResult:
    time_s = _time_s(params, context)
    pull = Pull(
        queue=params.queue_name,
        group=params.group,
        consumer=_own_id(context),
        max_messages=params.max_messages,
        wait_s=max(0.0, min(params.wait.total_seconds(), time_s - _SPARE_S)),
        max_bytes=params.max_bytes,
        create=params.create,
    )
    client = required(context.ports.brokers, "message broker client")
    delivery = await client.receive(broker_of(context.credential), pull, timeout_s=time_s)
    context.log("debug", f"received {len(delivery.messages)} messages")
    output = {"messages": [_shown(message, params.format) for message in delivery.messages]}
    return NodeResult(output, receipt=delivery.receipt)


def _shown(message: Received, form: MessageFormat) -> dict[str, Any]:
    return {
        "id": message.id,
        "body": decode_message(message.body, message.content_type, form),
        "headers": dict(message.headers),
        "key": message.key,
        "timestamp": iso_moment(message.timestamp_s),
        "redelivered": message.redelivered,
    }


def _own_id(context: NodeContext) -> str:
    """The same for every attempt of a node execution, and for no other; it tells nothing about either."""
    if not context.idempotency_key:
        return uuid4().hex
    return hashlib.sha256(context.idempotency_key.encode()).hexdigest()[:32]


def _time_s(params: MessageQueueParams, context: NodeContext) -> float:
    return min(params.timeout.total_seconds(), context.own_deadline_s)
