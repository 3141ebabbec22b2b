"""What follows a failure: policies that contradict themselves, and waits that cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from engine.dag.paths import join_path
from engine.dag.spec import Cache, Notification, Retry
from engine.dag.validate.outline import Outline, Vertex
from engine.errors import Issue

SHORTEST_TTL = timedelta(seconds=1)
LONGEST_TTL = timedelta(days=30)


def check_policies(outline: Outline) -> Iterator[Issue]:
    settings = outline.spec.settings
    error_sources = {edge.source for graph in outline.graphs for edge in graph.edges if edge.source_port == "error"}
    for vertex in outline.vertices():
        yield from _check_retry_use(vertex, settings.on_error)
        if vertex.id in error_sources:
            yield from _check_error_edge(vertex)
        yield from _check_node_durations(vertex)
    if settings.timeout is not None:
        yield from _positive(settings.timeout, "settings.timeout")
    if settings.retry is not None:
        yield from _check_retry(settings.retry, "settings.retry")
    for index, notification in enumerate(settings.notifications):
        yield from _check_notification(notification, join_path("settings.notifications", index))


def _check_retry_use(vertex: Vertex, default: str) -> Iterator[Issue]:
    node = vertex.node
    chosen = node.on_error or ("retry" if node.retry is not None else default)
    if node.retry is not None and chosen != "retry":
        message = f"the node has a retry policy, but on_error: {chosen} never uses it"
        hint = f"write on_error: retry and then: {chosen}, or take retry out"
        yield Issue("RETRY_CONTRADICTION", join_path(vertex.path, "retry"), message, hint)
    elif node.then is not None and chosen != "retry":
        message = "then says what follows the last retry, but the node is not retried"
        hint = "add retry, or write it as on_error"
        yield Issue("THEN_WITHOUT_RETRY", join_path(vertex.path, "then"), message, hint, "warning")


def _check_error_edge(vertex: Vertex) -> Iterator[Issue]:
    key = "then" if vertex.node.then is not None else "on_error"
    chosen = vertex.node.then or vertex.node.on_error
    if chosen in ("fail", "skip"):
        message = f"{key}: {chosen} never lets the edge from port error live"
        hint = f"write {key}: continue, or remove the edge"
        yield Issue("ERROR_EDGE_NEVER_LIVE", join_path(vertex.path, key), message, hint, "warning")


def _check_node_durations(vertex: Vertex) -> Iterator[Issue]:
    node = vertex.node
    if node.timeout is not None:
        yield from _positive(node.timeout, join_path(vertex.path, "timeout"))
    if node.cache is not None:
        yield from _check_cache(vertex, node.cache, join_path(vertex.path, "cache"))
    if node.retry is not None:
        yield from _check_retry(node.retry, join_path(vertex.path, "retry"))


def _check_cache(vertex: Vertex, cache: Cache, path: str) -> Iterator[Issue]:
    """A result is kept for a second at least and a month at most, of nodes that give one by themselves."""
    ttl = join_path(path, "ttl")
    if not SHORTEST_TTL <= cache.ttl <= LONGEST_TTL:
        message = "a result is kept for 1s at least and 30d at most"
        yield Issue("INVALID_DURATION", ttl, message, "write a time between them, such as 1h")
    info = vertex.info
    if info is None:
        return
    if info.kind not in ("io", "local"):
        message = f"results of a {info.type} node are never cached"
        yield Issue("CACHE_UNUSED", path, message, "give a cache to the nodes inside, or take it out", "warning")
    elif not info.cacheable(vertex.node.params):
        message = f"{vertex.id} takes what others then do not get: what it got is never given to another execution"
        yield Issue("CACHE_UNUSED", path, message, "take the cache out")
    elif not info.idempotent(vertex.node.params):
        message = f"while a result is there, {vertex.id} is not run, and what it does outside does not happen"
        hint = "take the cache out unless that is what you want"
        yield Issue("CACHE_OF_EFFECTS", path, message, hint, "warning")


def _check_retry(retry: Retry, path: str) -> Iterator[Issue]:
    yield from _positive(retry.interval, join_path(path, "interval"))
    if retry.max_interval is not None and retry.max_interval < retry.interval:
        message = "the longest wait is shorter than the first"
        yield Issue("INVALID_DURATION", join_path(path, "max_interval"), message, "raise max_interval")


def _positive(duration: timedelta, path: str) -> Iterator[Issue]:
    if duration <= timedelta(0):
        yield Issue("INVALID_DURATION", path, "the duration is zero", "write a longer one, such as 1s, or leave it out")


def _check_notification(notification: Notification, path: str) -> Iterator[Issue]:
    if notification.via == "webhook" and not notification.url:
        yield Issue("INVALID_NOTIFICATION", path, "a webhook notification needs a url", "add url")
    if notification.via == "email" and not notification.to:
        yield Issue("INVALID_NOTIFICATION", path, "an email notification needs receivers", "add to: [address]")
