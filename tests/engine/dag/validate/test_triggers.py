"""Triggers and caches in their documents."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.dag.validate.documents import edges, found, graph, issues, loop, node


def webhook(
    node_id: str = "call", path: str = "orders", credential: str | None = None, **params: Any
) -> dict[str, Any]:
    more = {} if credential is None else {"credential": credential}
    return {"id": node_id, "type": "webhook", "params": {"path": path, **params}, **more}


def answered(name: str) -> dict[str, Any]:
    return webhook(response="node", response_node=name)


def test_a_node_that_runs_after_the_call_may_answer_it() -> None:
    assert found(graph(answered("b"), node("a"), node("b"), links=edges("call a", "a b"))) == []


@pytest.mark.parametrize("name", ["c", "call", "beside", "inner", "{{ vars.x }}"])
def test_no_other_node_may(name: str) -> None:
    body = {"nodes": [node("inner")]}
    nodes = [answered(name), node("a"), node("beside"), loop("each", body)]
    paths = [path for _, path in found(graph(*nodes, links=edges("call a", "a each")))]
    assert "nodes[0].params.response_node" in paths


def test_a_mistyped_answerer_is_told_the_nearest() -> None:
    (issue,) = issues(graph(answered("recept"), node("receipt"), links=edges("call receipt")))
    assert (issue.code, issue.hint) == ("UNKNOWN_NODE", "did you mean receipt?")


@pytest.mark.parametrize("auth", ["api_key", "bearer", "hmac"])
def test_who_must_prove_himself_needs_a_credential_to_compare_with(auth: str) -> None:
    assert found(graph(webhook(auth=auth))) == [("MISSING_CREDENTIAL", "nodes[0].credential")]
    assert found(graph(webhook(auth=auth, credential="partner"))) == []


def test_two_webhooks_have_two_addresses() -> None:
    twice = graph(webhook("a"), webhook("b", "/orders", method="post"))
    assert found(twice) == [("DUPLICATE_WEBHOOK", "nodes[1].params.path")]
    assert found(graph(webhook("a"), webhook("b", method="PUT"), webhook("c", "orders/x"))) == []


def test_parameters_of_triggers_hold_no_templates() -> None:
    timer = {"id": "t", "type": "timer", "params": {"every": "1h", "input": {"a": ["{{ vars.x }}"]}}}
    document = graph(timer, variables={"x": {"default": 1}})
    assert found(document) == [("INVALID_PARAM", "nodes[0].params.input.a[0]")]


def test_the_filter_of_an_event_sees_the_event_alone() -> None:
    def event(text: str) -> dict[str, Any]:
        return graph({"id": "e", "type": "event", "params": {"event_type": "a", "event_filter": text}})

    assert found(event("event.data.x > 1")) == []
    assert [code for code, _ in found(event("item.x > 1"))] == ["UNKNOWN_NAME"]
    assert [code for code, _ in found(event("event.data.x >"))] == ["EXPRESSION_SYNTAX"]


# ---- caches


def http(method: str, ttl: str = "1h") -> dict[str, Any]:
    return {"id": "a", "type": "http", "params": {"method": method, "url": "https://a.example"}, "cache": {"ttl": ttl}}


@pytest.mark.parametrize("ttl", ["0s", "999ms", "31d"])
def test_a_result_is_kept_for_a_second_at_least_and_a_month_at_most(ttl: str) -> None:
    assert found(graph(http("GET", ttl))) == [("INVALID_DURATION", "nodes[0].cache.ttl")]


@pytest.mark.parametrize("ttl", ["1s", "1h", "30d"])
def test_between_them_it_may_be_kept(ttl: str) -> None:
    assert found(graph(http("GET", ttl), node("b", cache={"ttl": ttl}))) == []


def test_a_cache_of_effects_is_warned_of() -> None:
    (issue,) = issues(graph(http("POST")))
    assert (issue.code, issue.path, issue.severity) == ("CACHE_OF_EFFECTS", "nodes[0].cache", "warning")
    assert issue.hint


def test_a_cache_of_what_was_received_is_refused() -> None:
    """The messages would be acknowledged once and given out to every execution after it."""
    params = {"operation": "receive", "queue_name": "orders"}
    receive = {"id": "a", "type": "message_queue", "params": params, "credential": "broker", "cache": {"ttl": "1h"}}
    (issue,) = issues(graph(receive))
    assert (issue.code, issue.path, issue.severity) == ("CACHE_UNUSED", "nodes[0].cache", "error")
    sent = {**params, "operation": "send", "message": "x"}
    assert [issue.code for issue in issues(graph({**receive, "params": sent}))] == ["CACHE_OF_EFFECTS"]


@pytest.mark.parametrize(
    "other",
    [
        {"id": "a", "type": "manual"},
        {"id": "a", "type": "delay", "params": {"delay": "1s"}},
        loop("a", {"nodes": [node("b")]}),
    ],
)
def test_a_cache_where_nothing_is_cached_is_warned_of(other: dict[str, Any]) -> None:
    (issue,) = issues(graph({**other, "cache": {"ttl": "1h"}}))
    assert (issue.code, issue.severity) == ("CACHE_UNUSED", "warning")


def test_a_key_is_of_one_trigger() -> None:
    def manual(node_id: str, **params: str) -> dict[str, Any]:
        return {"id": node_id, "type": "manual", "params": params}

    twice = graph(manual("a", trigger_key="go"), manual("b", trigger_key="go"))
    assert found(twice) == [("DUPLICATE_TRIGGER_KEY", "nodes[1].params.trigger_key")]
    assert found(graph(manual("a", trigger_key="go"), manual("b", trigger_key="come"), manual("c"), manual("d"))) == []
