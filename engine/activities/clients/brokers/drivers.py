"""Which client serves which kind of broker. Each is loaded when it is first needed.

The libraries behind them take more than a second to load and 20 MB, which most workers never need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.activities.clients.brokers.links import Link
from engine.activities.clients.brokers.targets import Kind

Loader = Callable[[], type[Link]]


def _rabbitmq() -> type[Link]:
    from engine.activities.clients.brokers.rabbitmq import RabbitLink

    return RabbitLink


def _redis() -> type[Link]:
    from engine.activities.clients.brokers.redis_streams import RedisLink

    return RedisLink


def _nats() -> type[Link]:
    from engine.activities.clients.brokers.jetstream import JetStreamLink

    return JetStreamLink


def _kafka() -> type[Link]:
    from engine.activities.clients.brokers.kafka import KafkaLink

    return KafkaLink


LOADERS: Mapping[Kind, Loader] = {"rabbitmq": _rabbitmq, "redis": _redis, "nats": _nats, "kafka": _kafka}
