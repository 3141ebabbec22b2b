"""Tests of one rule alone, for the test of trials: they notice one change of `models.roles` and not the other."""

from __future__ import annotations

from models.roles import Role


def test_a_role_covers_itself() -> None:
    assert Role.EDITOR.covers(Role.EDITOR)
