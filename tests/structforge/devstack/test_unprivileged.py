"""Where another user may go, decided from the modes of the folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from structforge.devstack.unprivileged import Account, can_enter

OTHER = Account(uid=os.getuid() + 54321, gid=os.getgid() + 54321)
ME = Account(os.getuid(), os.getgid())


@pytest.fixture
def folder(data_dir: Path) -> Path:
    path = data_dir / "outer" / "inner"
    path.mkdir(parents=True)
    for part in (data_dir, path.parent, path):
        part.chmod(0o711)
    return path


def test_open_folders_can_be_entered_by_another_user(folder: Path) -> None:
    assert can_enter(folder, OTHER)


def test_one_closed_folder_above_keeps_another_user_out(folder: Path) -> None:
    folder.parent.chmod(0o700)
    assert not can_enter(folder, OTHER)
    assert can_enter(folder, ME)


def test_group_bit_counts_for_the_group_alone(folder: Path) -> None:
    folder.chmod(0o710)
    group = Account(OTHER.uid, folder.stat().st_gid)
    assert can_enter(folder, group)
    assert not can_enter(folder, OTHER)
