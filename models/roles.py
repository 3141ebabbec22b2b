"""Roles on a workflow. Each holds all that the ones below it may do."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """`viewer` reads, `executor` runs too, `editor` changes too, `owner` deletes and says who else may."""

    VIEWER = "viewer"
    EXECUTOR = "executor"
    EDITOR = "editor"
    OWNER = "owner"

    @property
    def rank(self) -> int:
        """1 for a viewer to 4 for an owner, as PostgreSQL's `role_rank` has it."""
        return _RANKS[self]

    def covers(self, wanted: Role) -> bool:
        """Whether who has this role may do what `wanted` may."""
        return self.rank >= wanted.rank

    @classmethod
    def of_rank(cls, rank: int) -> Role:
        """The role of a rank from 1 to 4."""
        return tuple(cls)[rank - 1]


_RANKS = {role: rank for rank, role in enumerate(Role, start=1)}
