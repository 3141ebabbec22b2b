"""People who decide an approval: word after word at random, to an end that is known, with what each word must do."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from engine.dag.spec import NodeSpec
from engine.dag.work import Work
from tests.reference.evaluate import Outcome

Decide = Callable[[dict[str, Any]], bool]


@dataclass
class Asked:
    """An approval that waits; `ended` is how its node ends. `said` is who has said what."""

    work: Work
    node: NodeSpec
    ended: Outcome
    upstream: Any
    said: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def quorum(self) -> int:
        return self.node.params.get("quorum", 1)

    @property
    def rejections(self) -> int:
        """One for a quorum of one; else what leaves too few of the approvers, or, if nobody is named, as many."""
        if self.quorum == 1:
            return 1
        named = len(self.node.params.get("approvers", ()))
        return named - self.quorum + 1 if named else self.quorum

    def opened(self) -> dict[str, Any]:
        """What opening it finds."""
        return {"id": "", "quorum": self.quorum, "rejections": self.rejections, "until": 3600.0}

    def speak(self, rng: random.Random, decide: Decide) -> bool:
        """One more word, checked; whether it decided."""
        if self.said and rng.random() < 0.3:
            self._repeat(rng, decide)
            return False
        decision = self._next(rng)
        person = f"p{len(self.said)}"
        self.said[person] = decision
        assert decide(_word(person, decision)), f"{person}'s word on {self.node.id} was refused"
        return self._is_decided

    def _repeat(self, rng: random.Random, decide: Decide) -> None:
        """Somebody speaks again: the same changes nothing, anything else is refused."""
        person = rng.choice([*self.said])
        decision = rng.choice(["approved", "rejected"])
        assert decide(_word(person, decision)) == (self.said[person] == decision)

    def _next(self, rng: random.Random) -> str:
        """A decision that leads where it must end; one that leads elsewhere only as long as it decides nothing."""
        other = "rejected" if self.ended.port == "approved" else "approved"
        needed = self.rejections if other == "rejected" else self.quorum
        if self._count(other) + 1 < needed and rng.random() < 0.4:
            return other
        return self.ended.port

    @property
    def may_speak(self) -> bool:
        """Whether there is a word to say: none may decide an approval whose time is to run out."""
        return self.ended.port != "timeout"

    @property
    def _is_decided(self) -> bool:
        return self._count("approved") >= self.quorum or self._count("rejected") >= self.rejections

    def _count(self, decision: str) -> int:
        return sum(one == decision for one in self.said.values())


def _word(person: str, decision: str) -> dict[str, Any]:
    return {"by": person, "decision": decision, "form": None, "comment": "", "at": 0.0}
