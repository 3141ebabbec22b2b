"""The known name that a mistyped one most likely meant."""

from __future__ import annotations

import difflib
from collections.abc import Collection

_SUGGESTIONS = 200
_CANDIDATES = 1000
_LONGEST = 100


class Suggester:
    """Gives hints, within bounds: comparing names is slow, and a bad document may hold thousands of bad ones."""

    def __init__(self, budget: int = _SUGGESTIONS) -> None:
        self._budget = budget

    def hint(self, word: str, known: Collection[str], otherwise: str = "") -> str:
        """`did you mean x?` where something is near, else `otherwise`."""
        found = self.nearest(word, known)
        return f"did you mean {found}?" if found else otherwise

    def nearest(self, word: str, known: Collection[str]) -> str | None:
        if self._budget <= 0 or len(word) > _LONGEST:
            return None
        self._budget -= 1
        candidates = [name for name in known if abs(len(name) - len(word)) <= 3] if len(known) > 100 else known
        found = difflib.get_close_matches(
            word, list(candidates)[:_CANDIDATES], n=1, cutoff=0.6 if len(word) > 3 else 0.75
        )
        return found[0] if found else None
