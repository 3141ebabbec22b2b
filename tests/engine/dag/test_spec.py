"""What the shapes of a document allow that no other check looks at."""

from __future__ import annotations

from typing import Any

import pytest

from engine.dag.parsing import parse_spec
from engine.errors import ValidationFailed


def spec_with(budget: Any) -> Any:
    return parse_spec({"name": "w", "nodes": [{"id": "a", "type": "manual"}], "settings": {"budget": budget}})


def test_budget_of_an_execution_bounds_tokens_money_or_both() -> None:
    assert spec_with({"tokens": 5000}).settings.budget.model_dump() == {"tokens": 5000, "cost": None}
    assert spec_with({"cost": 0.25}).settings.budget.model_dump() == {"tokens": None, "cost": 0.25}
    assert spec_with(None).settings.budget is None


@pytest.mark.parametrize(
    ("budget", "path"),
    [
        ({}, "settings.budget"),
        ({"tokens": 0}, "settings.budget.tokens"),
        ({"tokens": 1.5}, "settings.budget.tokens"),
        ({"cost": 0}, "settings.budget.cost"),
        ({"cost": float("inf")}, "settings.budget.cost"),
        ({"token": 5}, "settings.budget.token"),
        ("much", "settings.budget"),
    ],
)
def test_budget_that_bounds_nothing_is_an_issue_with_its_place(budget: Any, path: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        spec_with(budget)
    assert [issue.path for issue in caught.value.issues] == [path]
