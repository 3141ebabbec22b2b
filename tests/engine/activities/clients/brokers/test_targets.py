from __future__ import annotations

import pytest

from engine.activities.clients.brokers.targets import guarded, parse_target
from engine.errors import NodeError
from engine.nodes.messaging.exchange import Broker
from engine.nodes.outbound.addresses import HttpPolicy

SECRET = "s3cret/?#"
QUOTED = "s3cret%2F%3F%23"


@pytest.mark.parametrize(
    ("url", "kind", "tls", "addresses", "path"),
    [
        ("amqp://u:p@mq.example", "rabbitmq", False, ["mq.example:5672"], ""),
        ("amqps://u:p@mq.example/shop", "rabbitmq", True, ["mq.example:5671"], "shop"),
        ("amqp://u:p@mq.example:5673/%2F", "rabbitmq", False, ["mq.example:5673"], "/"),
        ("redis://:p@[2001:db9::1]:6380/3", "redis", False, ["[2001:db9::1]:6380"], "3"),
        ("rediss://cache.example", "redis", True, ["cache.example:6379"], ""),
        ("nats://u:p@a.example,b.example:4333", "nats", False, ["a.example:4222", "b.example:4333"], ""),
        ("tls://token@a.example", "nats", True, ["a.example:4222"], ""),
        ("kafkas://u:p@a.example:9093,b.example?sasl=SCRAM-SHA-512", "kafka", True,
         ["a.example:9093", "b.example:9092"], ""),
    ],
)  # fmt: skip
def test_url_is_read(url: str, kind: str, tls: bool, addresses: list[str], path: str) -> None:
    target = parse_target(Broker(url, trusted=True))
    assert (target.kind, target.tls, target.addresses, target.path) == (kind, tls, addresses, path)


def test_user_name_and_password_are_decoded() -> None:
    target = parse_target(Broker(f"amqp://a%40b:{QUOTED}@mq.example", trusted=True))
    assert (target.username, target.password) == ("a@b", SECRET)


@pytest.mark.parametrize(
    ("url", "what"),
    [
        (f"mqtt://u:{QUOTED}@h", "must begin with"),
        (f"u:{QUOTED}@h:5672", "must begin with"),
        (f"amqp://u:{QUOTED}@h:port", "cannot be read"),
        (f"amqp://u:{QUOTED}@", "cannot be read"),
        (f"amqp://u:{QUOTED}@h:5672,i:5672", "names one host"),
        (f"redis://u:{QUOTED}@h?ssl_cert_reqs=none", "unknown option"),
        (f"amqps://u:{QUOTED}@h?no_verify_ssl=1", "unknown option"),
        (f"kafka://u:{QUOTED}@h?sasl=GSSAPI", "must be one of"),
    ],
)
def test_bad_url_is_an_error_that_keeps_the_secret(url: str, what: str) -> None:
    with pytest.raises(NodeError, match=what) as caught:
        parse_target(Broker(url, trusted=True))
    assert caught.value.code == "INVALID_CONFIG"
    assert "s3cret" not in repr(caught.value.as_dict())


def test_nothing_secret_is_shown() -> None:
    broker = Broker(f"amqp://user-name:{QUOTED}@h", trusted=True)
    target = parse_target(broker)
    assert "s3cret" not in repr(broker) + repr(target)
    assert target.redaction.text(f"login of user-name with {SECRET} or {QUOTED} failed") == (
        "login of user-name with [redacted] or [redacted] failed"
    )
    assert "t0ken" not in parse_target(Broker("nats://t0ken@h", trusted=True)).redaction.text("t0ken")


def test_credential_is_bound_to_its_hosts() -> None:
    hosts = ["*.mq.example"]
    both = Broker("nats://a.mq.example,b.mq.example", trusted=True, allowed_hosts=hosts)
    assert parse_target(both).name == "a.mq.example,b.mq.example"
    with pytest.raises(NodeError, match=r"other\.example") as caught:
        parse_target(Broker("nats://a.mq.example,other.example", trusted=True, allowed_hosts=hosts))
    assert caught.value.code == "ACCESS_DENIED"


def test_file_of_authorities_is_the_operators_to_name() -> None:
    with pytest.raises(NodeError, match="operator"):
        parse_target(Broker("amqps://h?ca=/etc/passwd", trusted=False))
    with pytest.raises(NodeError, match="no certificates") as caught:
        parse_target(Broker("amqps://h?ca=/nowhere/secret-place.pem", trusted=True)).ssl_context()
    assert "secret-place" not in caught.value.message


def test_certificates_are_always_verified() -> None:
    context = parse_target(Broker("rediss://h", trusted=True)).ssl_context()
    assert context is not None
    assert context.check_hostname


@pytest.mark.parametrize("url", ["amqp://127.0.0.1", "redis://[::1]", "nats://169.254.169.254", "amqps://10.0.0.1",
                                 "nats://93.184.216.34,192.168.0.1", "kafka://93.184.216.34"])  # fmt: skip
async def test_internal_address_is_blocked(url: str) -> None:
    with pytest.raises(NodeError) as caught:
        await guarded(parse_target(Broker(url)), HttpPolicy())
    assert caught.value.code == "BLOCKED_ADDRESS"


async def test_plain_connection_goes_to_the_address_that_was_checked() -> None:
    target = await guarded(parse_target(Broker("nats://localhost:4333")), HttpPolicy(allowed_hosts=["localhost"]))
    assert target.addresses[0] in ("127.0.0.1:4333", "[::1]:4333")
    over_tls = await guarded(parse_target(Broker("tls://localhost:4333")), HttpPolicy(allowed_hosts=["localhost"]))
    assert over_tls.addresses == ["localhost:4333"]  # by name, which the certificate must show
