"""Data folders that the servers can use, whoever runs the tests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from engine.settings import Settings, load_settings
from structforge.devstack.unprivileged import HOME_NOTE

FREE_PORTS = dict.fromkeys(("temporal_port", "temporal_ui_port", "postgres_port", "redis_port"), 0)


def settings_for(data_dir: Path) -> Settings:
    """Settings with free ports, so that tests never meet a server of the person who runs them."""
    return load_settings(data_dir=data_dir, embedded={**FREE_PORTS, "start_timeout_s": 180}, api={"port": 0})


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that other users may pass through: pytest's own are closed, and PostgreSQL is not run as root."""
    base = Path(tempfile.mkdtemp(prefix="structforge-"))
    base.chmod(0o711)
    try:
        yield base / "data"
    finally:
        remove_folder(base)


async def eventually(holds: Callable[[], Awaitable[bool]], timeout_s: float = 60) -> None:
    """Wait for a state of another process, which has no event to await."""
    async with asyncio.timeout(timeout_s):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.03)


def remove_folder(base: Path) -> None:
    for note in base.rglob(HOME_NOTE):
        shutil.rmtree(note.read_text().strip())
    shutil.rmtree(base)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with open_folder() as path:
        yield path


@pytest.fixture(autouse=True)
def _no_external_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith("STRUCTFORGE_") or name == "TEMPORAL_ADDRESS":
            monkeypatch.delenv(name)
