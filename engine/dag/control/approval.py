"""Approval: how the words of people add up to a decision.

What one that waits is made of is plain JSON in `NodeState.opened`, so that it survives continue-as-new:

    id          of its row
    quorum      approvals that decide it
    rejections  rejections that decide it
    until       its deadline in seconds since the epoch, 0 if there is none
    ask         Value of {message, form}
    approvers, allow_self
    decisions   [{by, decision, form, comment, at}] so far, one for each person; `form` is a Value or None
    decision    approved | rejected | timeout, once it is made
    error       of an I/O node that asks whether it may pass a budget
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.dag.values import NULL, Value, inline, listing, mapping

APPROVED = "approved"
REJECTED = "rejected"
TIMED_OUT = "timeout"
ROLE = "role:"


def voters(approvers: Iterable[str], without: str = "") -> int | None:
    """How many people may decide; None if that is not known: anybody may, or whoever has a role."""
    people = dict.fromkeys(name.lower() for name in approvers)
    if not people or any(name.startswith(ROLE) for name in people):
        return None
    if without:
        people.pop(without.lower(), None)
    return len(people)


def rejections_that_decide(quorum: int, people: int | None) -> int:
    """Rejections after which the quorum is out of reach; where nobody knows how many may decide, as many as approvals.

    With a quorum of one, one rejection decides.
    """
    if quorum == 1:
        return 1
    return quorum if people is None else max(1, people - quorum + 1)


def take(asked: dict[str, Any], word: dict[str, Any]) -> bool:
    """Count a person's word; False if the same person has said something else before. Repeating it changes nothing."""
    words: list[dict[str, Any]] = asked.setdefault("decisions", [])
    known = next((one for one in words if one["by"] == word["by"]), None)
    if known is not None:
        return known["decision"] == word["decision"]
    words.append(word)
    return True


def verdict(asked: dict[str, Any]) -> str | None:
    """What the words so far decide, None while more are needed."""
    said = [one["decision"] for one in asked.get("decisions", ())]
    if said.count(APPROVED) >= int(asked["quorum"]):
        return APPROVED
    return REJECTED if said.count(REJECTED) >= int(asked["rejections"]) else None


def output(asked: dict[str, Any]) -> Value:
    """`{decision, by, form, comment, decisions}`: of the word that decided it, and of all; without it on a timeout."""
    words: list[dict[str, Any]] = asked.get("decisions", [])
    last = words[-1] if words and asked["decision"] != TIMED_OUT else {"by": None, "form": None, "comment": ""}
    return mapping({"decision": inline(asked["decision"]), **_said(last), "decisions": listing(_all(words))})


def _all(words: list[dict[str, Any]]) -> list[Value]:
    return [mapping({"decision": inline(one["decision"]), **_said(one), "at": inline(one["at"])}) for one in words]


def _said(word: dict[str, Any]) -> dict[str, Value]:
    return {"by": inline(word["by"]), "form": word["form"] or NULL, "comment": inline(word["comment"])}
