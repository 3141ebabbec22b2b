from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from engine.errors import NodeError, ValidationFailed
from engine.expressions.evaluator import Evaluator
from engine.nodes.trigger.event import EventParams, is_of_type, passes
from tests.engine.nodes.running import codes, node_type, run

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVENT = {"id": "e1", "type": "order.created", "source": "shop", "time": NOW.isoformat(), "data": {"total": 150}}


def params(event_type: str = "order.created", event_filter: Any = None) -> EventParams:
    return EventParams.model_validate({"event_type": event_type, "event_filter": event_filter})


async def test_output_is_the_event() -> None:
    assert (await run("event", {"event_type": "order.*"}, upstream=EVENT)).output == EVENT


@pytest.mark.parametrize(
    ("asked", "published", "fits"),
    [
        ("order.created", "order.created", True),
        ("order.created", "order.created.twice", False),
        ("order.*", "order.created", True),
        ("order.*", "order.created.twice", True),
        ("order.*", "order", False),
        ("order.*", "orders.created", False),
    ],
)
def test_types_fit_whole_or_by_their_beginning(asked: str, published: str, fits: bool) -> None:
    assert is_of_type(params(asked), published) is fits


@pytest.mark.parametrize(
    ("event_filter", "fits"),
    [
        (None, True),
        ("event.data.total >= 100", True),
        ("event.data.total >= 200", False),
        ("{{ event.source == 'shop' and event.data.total > 1 }}", True),
        ("event.data.total", True),
        (False, False),
    ],
)
async def test_the_filter_decides(evaluator: Evaluator, event_filter: Any, fits: bool) -> None:
    assert await passes(params(event_filter=event_filter), EVENT, evaluator) is fits


async def test_an_event_of_another_type_is_not_even_looked_at(evaluator: Evaluator) -> None:
    assert not await passes(params("user.created", "1 / 0"), EVENT, evaluator)


async def test_a_filter_that_fails_is_an_error(evaluator: Evaluator) -> None:
    with pytest.raises(NodeError) as caught:
        await passes(params(event_filter="event.data.price > 1"), EVENT, evaluator)
    assert caught.value.code == "EXPRESSION_ERROR"


@pytest.mark.parametrize("event_type", ["", "a b", ".a", "a..b", "*", "a.*.b", "a.**", "{{ vars.x }}", "x" * 201])
def test_other_types_are_refused(event_type: str) -> None:
    assert codes("event", {"event_type": event_type}) == [("INVALID_PARAM", "params.event_type")]


def test_the_filter_is_an_expression() -> None:
    assert node_type("event").item_expression_paths({"event_filter": "event.data.x"}) == [("event_filter",)]
    assert node_type("event").expression_names == ("event",)


def test_a_start_by_hand_completes_the_event() -> None:
    made = node_type("event").data_by_hand({"event_type": "order.*"}, {"data": {"total": 1}}, NOW)
    assert made.pop("id")
    assert made == {"type": "order", "source": "manual", "time": NOW.isoformat(), "data": {"total": 1}}
    with pytest.raises(ValidationFailed):
        node_type("event").data_by_hand({"event_type": "order.*"}, {"total": 1}, NOW)
