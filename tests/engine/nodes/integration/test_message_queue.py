from __future__ import annotations

from typing import Any

import pytest

from engine.errors import NodeError
from engine.nodes.base import NodeContext
from engine.nodes.messaging.exchange import Broker, Delivery, Outgoing, Pull, Received
from tests.engine.nodes.running import codes, node_type, run

CREDENTIAL: Any = {"type": "connection", "url": "amqp://user:canary-1@mq.example", "trusted": True}
SEND = {"operation": "send", "queue_name": "orders", "message": {"id": 1}}
RECEIVE = {"operation": "receive", "queue_name": "orders"}


class Receipt:
    async def acknowledge(self) -> None: ...

    async def release(self) -> None: ...


class FakeBrokers:
    """Notes what it is asked for and hands out `messages`."""

    def __init__(self, *messages: Received) -> None:
        self.messages = messages
        self.sent: list[tuple[Broker, Outgoing, float]] = []
        self.pulls: list[tuple[Broker, Pull, float]] = []
        self.receipt = Receipt()

    async def send(self, broker: Broker, message: Outgoing, *, timeout_s: float) -> None:
        self.sent.append((broker, message, timeout_s))

    async def receive(self, broker: Broker, pull: Pull, *, timeout_s: float) -> Delivery:
        self.pulls.append((broker, pull, timeout_s))
        return Delivery(self.messages, self.receipt if self.messages else None)


async def sent(params: dict[str, Any], **context: Any) -> tuple[Any, Outgoing]:
    brokers = FakeBrokers()
    result = await run("message_queue", {**SEND, **params}, brokers=brokers, credential=CREDENTIAL, **context)
    return result.output, brokers.sent[0][1]


async def received(params: dict[str, Any], *messages: Received, **context: Any) -> tuple[Any, Pull]:
    brokers = FakeBrokers(*messages)
    given: dict[str, Any] = {"brokers": brokers, "credential": CREDENTIAL, **context}
    result = await run("message_queue", {**RECEIVE, **params}, **given)
    assert result.receipt is (brokers.receipt if messages else None)
    return result.output, brokers.pulls[0][1]


async def failure(params: dict[str, Any], **context: Any) -> NodeError:
    given: dict[str, Any] = {"brokers": FakeBrokers(), "credential": CREDENTIAL, **context}
    with pytest.raises(NodeError) as caught:
        await run("message_queue", params, **given)
    assert "canary" not in repr(caught.value.as_dict())
    return caught.value


async def test_message_goes_out_with_everything_that_was_asked() -> None:
    more = {"headers": {"n": 1, "none": None}, "key": "k", "exchange": "events", "create": True, "max_length": 9}
    output, message = await sent(more, idempotency_key="e:n:0")
    assert output == {"message_id": message.message_id}
    assert (message.queue, message.body, message.content_type) == ("orders", b'{"id":1}', "application/json")
    assert (message.headers, message.key, message.exchange) == ({"n": "1"}, "k", "events")
    assert (message.create, message.max_length, message.repeatable) == (True, 9, False)


async def test_message_id_is_that_of_the_node_execution() -> None:
    (_, first), (_, again), (_, other) = [await sent({}, idempotency_key=key) for key in ("a", "a", "b")]
    assert first.message_id == again.message_id != other.message_id
    assert len(first.message_id) == 32
    assert (await sent({"message_id": "order-7"}))[1].message_id == "order-7"
    assert (await sent({}))[1].message_id != (await sent({}))[1].message_id


async def test_null_is_a_message_and_a_missing_one_is_not() -> None:
    assert (await sent({"message": None}))[1].body == b"null"
    kind = node_type("message_queue")
    params = kind.parse_params({"operation": "send", "queue_name": "orders"})
    with pytest.raises(NodeError, match="needs a message"):
        await kind.execute(params, NodeContext())


async def test_messages_come_as_data() -> None:
    message = Received("id-1", b'{"a":1}', "application/json", {"h": "v"}, "k", 1_700_000_000.0, True)
    output, pull = await received({"max_messages": 5, "wait": "3s", "group": "g", "max_bytes": 99}, message)
    assert output == {
        "messages": [
            {"id": "id-1", "body": {"a": 1}, "headers": {"h": "v"}, "key": "k",
             "timestamp": "2023-11-14T22:13:20.000Z", "redelivered": True}
        ]
    }  # fmt: skip
    assert (pull.queue, pull.max_messages, pull.wait_s, pull.group, pull.max_bytes) == ("orders", 5, 3.0, "g", 99)


async def test_no_message_is_an_empty_list() -> None:
    assert (await received({}))[0] == {"messages": []}


async def test_receive_ends_before_the_attempt_is_cut_off() -> None:
    # 4 s: a twentieth, 0.2 s, is kept for the end of the attempt, and 1 s for taking the messages in.
    _, pull = await received({"wait": "20s"}, deadline_s=4.0)
    assert pull.wait_s == pytest.approx(2.8)


async def test_consumer_is_that_of_the_node_execution() -> None:
    pulls = [(await received({}, idempotency_key=key))[1].consumer for key in ("a", "a", "b")]
    assert pulls[0] == pulls[1] != pulls[2]


async def test_broker_is_the_credentials() -> None:
    brokers = FakeBrokers()
    bound = {"type": "connection", "url": "nats://h", "allowed_hosts": ["h"]}
    await run("message_queue", SEND, brokers=brokers, credential=bound)
    assert brokers.sent[0][0] == Broker("nats://h", trusted=False, allowed_hosts=["h"])


@pytest.mark.parametrize(
    ("params", "context", "code", "what"),
    [
        (SEND, {"credential": None}, "INVALID_CONFIG", "credential of type connection"),
        (SEND, {"credential": {"type": "bearer", "token": "canary"}}, "INVALID_CONFIG", "type bearer"),
        (SEND, {"credential": {"type": "connection"}}, "INVALID_CONFIG", "no url"),
        (SEND, {"brokers": None}, "INVALID_CONFIG", "no message broker client"),
        ({**SEND, "message": {"a": 1}, "format": "text"}, {}, "INVALID_CONFIG", "must be text"),
        ({**SEND, "headers": {"a": "x\ny"}}, {}, "INVALID_CONFIG", "line break"),
        ({**SEND, "message": "x" * 8_000_001}, {}, "OUTPUT_TOO_LARGE", "8000000 bytes"),
    ],
)
async def test_what_cannot_be_sent_is_a_typed_error(
    params: dict[str, Any], context: dict[str, Any], code: str, what: str
) -> None:
    error = await failure(params, **context)
    assert (error.code, error.retryable) == (code, False)
    assert what in error.message


@pytest.mark.parametrize(
    ("params", "issues"),
    [
        ({}, [("MISSING_PARAM", "params.operation"), ("MISSING_PARAM", "params.queue_name")]),
        ({"operation": "publish", "queue_name": "q"}, [("INVALID_PARAM", "params.operation")]),
        ({"operation": "send", "queue_name": "q"}, [("MISSING_PARAM", "params.message")]),
        ({**SEND, "queue_name": ""}, [("INVALID_PARAM", "params.queue_name")]),
        ({**SEND, "queue_name": "a\nb"}, [("INVALID_PARAM", "params.queue_name")]),
        ({**SEND, "headers": {"a b": "x"}}, [("INVALID_PARAM", 'params.headers["a b"]')]),
        ({**SEND, "headers": {"CC": "x"}}, [("INVALID_PARAM", "params.headers.CC")]),
        ({**SEND, "wait": "3s"}, [("INVALID_PARAM", "params.wait")]),
        ({**SEND, "group": "g", "max_messages": 2}, [("INVALID_PARAM", "params.group"),
                                                     ("INVALID_PARAM", "params.max_messages")]),
        ({**SEND, "quueue": 1}, [("UNKNOWN_KEY", "params.quueue")]),
        ({**RECEIVE, "message": 1, "key": "k"}, [("INVALID_PARAM", "params.key"), ("INVALID_PARAM", "params.message")]),
        ({**RECEIVE, "wait": "11m", "timeout": "1h"}, [("INVALID_PARAM", "params.wait")]),
        ({**RECEIVE, "wait": 5}, [("INVALID_PARAM", "params.wait")]),
        ({**RECEIVE, "wait": "1m"}, [("INVALID_PARAM", "params.wait")]),
        ({**RECEIVE, "max_messages": 0}, [("INVALID_PARAM", "params.max_messages")]),
        ({**RECEIVE, "max_messages": 1001}, [("INVALID_PARAM", "params.max_messages")]),
        ({**RECEIVE, "max_bytes": 0}, [("INVALID_PARAM", "params.max_bytes")]),
        ({**RECEIVE, "wait": "1m", "timeout": "2m"}, []),
        ({**RECEIVE, "wait": "{{ input.wait }}", "queue_name": "{{ input.queue }}"}, []),
        ({"operation": "{{ input.operation }}", "queue_name": "q"}, []),
        ({**SEND, "headers": {"{{ input.name }}": "x", "b": "{{ input.b }}"}, "message": "{{ input }}"}, []),
    ],
)  # fmt: skip
def test_everything_that_is_constant_is_checked_when_it_is_saved(
    params: dict[str, Any], issues: list[tuple[str, str]]
) -> None:
    assert sorted(codes("message_queue", params)) == sorted(issues)


def test_every_issue_says_how_to_mend_it() -> None:
    wrong = {"operation": "receive", "queue_name": "", "message": 1, "wait": "1m", "max_messages": 0}
    issues = node_type("message_queue").validate_params(wrong, "params")
    assert len(issues) == 4
    assert all(issue.hint and issue.message for issue in issues)


def test_a_receive_may_always_run_again_and_a_send_if_it_says_so() -> None:
    kind = node_type("message_queue")
    assert kind.idempotent(RECEIVE)
    assert not kind.idempotent(SEND)
    assert kind.idempotent({**SEND, "idempotent": True})
    assert not kind.idempotent({"operation": "{{ input.operation }}"})
    assert kind.timeout_s_for({**RECEIVE, "timeout": "2m"}) == 121.0
