"""What was not given, told apart from null: a member that is left out of a request."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, Literal


class _Unset(Enum):
    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> Literal[False]:
        return False


Unset = Literal[_Unset.UNSET]
UNSET: Final = _Unset.UNSET


def given(members: Mapping[str, Any]) -> dict[str, Any]:
    """Those members that were given."""
    return {name: value for name, value in members.items() if value is not UNSET}
