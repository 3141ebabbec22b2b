from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from engine.errors import ValidationFailed
from tests.engine.nodes.running import codes, node_type, run

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CALL = {"method": "POST", "path": "orders/new", "query": {}, "headers": {}, "body": {"id": 7}}


async def test_output_is_the_call() -> None:
    assert (await run("webhook", {"path": "/orders/new"}, upstream=CALL)).output == CALL


@pytest.mark.parametrize("path", ["orders", "/orders", "v1/orders.new", "a~b/c_d/e-f/9"])
def test_paths_are_segments(path: str) -> None:
    assert codes("webhook", {"path": path}) == []


@pytest.mark.parametrize("path", ["", "/", "a//b", "a/", "a b", "a/../b", ".", "a?b=1", "a%2fb", "ä", "a" * 201, "\n"])
def test_other_paths_are_refused(path: str) -> None:
    assert codes("webhook", {"path": path}) == [("INVALID_PARAM", "params.path")]


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"method": "BREW"}, ("INVALID_PARAM", "params.method")),
        ({"auth": "magic"}, ("INVALID_PARAM", "params.auth")),
        ({"response": "later"}, ("INVALID_PARAM", "params.response")),
        ({"response": "node"}, ("INVALID_PARAM", "params")),
        ({"response_node": "x"}, ("INVALID_PARAM", "params")),
        ({"headers": {"x y": "1"}}, ("INVALID_PARAM", 'params.headers["x y"]')),
        ({"headers": {"x": {"pattern": "("}}}, ("INVALID_PARAM", "params.headers.x.pattern")),
        ({"headers": {"x": {"pattern": "(?=a)"}}}, ("INVALID_PARAM", "params.headers.x.pattern")),
        ({"headers": {"x": {"one_of": []}}}, ("INVALID_PARAM", "params.headers.x.one_of")),
        ({"headers": {"x": {"like": "a"}}}, ("UNKNOWN_KEY", "params.headers.x.like")),
        ({"headers": {"x": {"equals": "{{ vars.secret }}"}}}, ("INVALID_PARAM", "params.headers.x.equals")),
    ],
)
def test_bad_parameters_are_found(params: dict[str, Any], found: tuple[str, str]) -> None:
    assert found in codes("webhook", {"path": "orders", **params})


def test_a_start_by_hand_completes_the_call() -> None:
    kind = node_type("webhook")
    assert kind.data_by_hand({"path": "/orders/new"}, {"body": {"id": 7}}, NOW) == CALL
    assert kind.data_by_hand({"path": "orders/new", "method": "put"}, None, NOW) == {
        **CALL,
        "method": "PUT",
        "body": None,
    }


@pytest.mark.parametrize("given", [[1], "text", {"bdy": 1}, {"headers": {"x": 1}}])
def test_a_start_by_hand_with_what_no_call_gives_is_refused(given: Any) -> None:
    with pytest.raises(ValidationFailed) as caught:
        node_type("webhook").data_by_hand({"path": "orders"}, given, NOW)
    assert caught.value.issues[0].path.startswith("input")
