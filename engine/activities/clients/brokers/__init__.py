"""Message brokers: one pooled client for RabbitMQ, Redis Streams, NATS JetStream and Kafka."""

from engine.activities.clients.brokers.pool import BrokerPool

__all__ = ["BrokerPool"]
