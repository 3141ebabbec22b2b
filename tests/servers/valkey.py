"""A real Valkey with a password for tests that use it as a message broker."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator

import pytest
from redis import Redis

from tests.models.server import ValkeyServer

PASSWORD = "valkey-canary-8463"


class LockedValkey(ValkeyServer):
    """A server that keeps nothing and wants a password."""

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        super().start()
        with Redis(port=self.port) as client:
            client.config_set("requirepass", PASSWORD)

    def kill(self) -> None:
        """End it; as it keeps nothing, there is no gentler end."""
        self.stop()


@contextlib.contextmanager
def open_locked_valkey() -> Generator[LockedValkey]:
    server = LockedValkey()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def locked_valkey() -> Iterator[LockedValkey]:
    """A server shared by the tests of a session: take stream names of your own, and leave it running."""
    with open_locked_valkey() as server:
        yield server
