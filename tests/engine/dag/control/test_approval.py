from __future__ import annotations

from typing import Any

import pytest

from engine.dag.control.approval import output, rejections_that_decide, take, verdict, voters
from engine.dag.values import inline, read


@pytest.mark.parametrize(
    ("quorum", "people", "rejections"),
    [
        (1, None, 1),  # whoever it is: one rejects
        (1, 5, 1),
        (2, 3, 2),  # of three, one may reject and two still approve
        (3, 3, 1),  # all must approve
        (2, 5, 4),
        (3, None, 3),  # nobody knows how many may decide
    ],
)
def test_rejections_that_put_the_quorum_out_of_reach(quorum: int, people: int | None, rejections: int) -> None:
    assert rejections_that_decide(quorum, people) == rejections


@pytest.mark.parametrize(
    ("approvers", "without", "people"),
    [
        ([], "", None),
        (["a", "A", "b"], "", 2),
        (["a", "b"], "B", 1),
        (["a", "b"], "c", 2),
        (["a", "role:admin"], "", None),
    ],
)
def test_people_who_may_decide(approvers: list[str], without: str, people: int | None) -> None:
    assert voters(approvers, without) == people


def word(by: str, decision: str, **more: Any) -> dict[str, Any]:
    return {"by": by, "decision": decision, "form": None, "comment": "", "at": 1.0, **more}


def test_first_word_of_a_person_stands() -> None:
    asked: dict[str, Any] = {"quorum": 2, "rejections": 2}
    assert take(asked, word("a", "approved"))
    assert take(asked, word("a", "approved", comment="again"))
    assert not take(asked, word("a", "rejected"))
    assert [one["comment"] for one in asked["decisions"]] == [""]
    assert verdict(asked) is None
    assert take(asked, word("b", "approved"))
    assert verdict(asked) == "approved"


def test_output_is_that_of_the_last_word() -> None:
    asked: dict[str, Any] = {"quorum": 2, "rejections": 2, "decision": "approved"}
    take(asked, word("a", "approved"))
    take(asked, word("b", "approved", form=inline({"n": 1}), comment="fine"))
    found = read(output(asked))
    assert [one["by"] for one in found.pop("decisions")] == ["a", "b"]
    assert found == {"decision": "approved", "by": "b", "form": {"n": 1}, "comment": "fine"}


def test_timeout_names_nobody_and_keeps_what_was_said() -> None:
    asked: dict[str, Any] = {"quorum": 2, "rejections": 2, "decision": "timeout"}
    take(asked, word("a", "approved"))
    found = read(output(asked))
    assert len(found.pop("decisions")) == 1
    assert found == {"decision": "timeout", "by": None, "form": None, "comment": ""}
