"""A real NATS server with JetStream for tests: the system's package, on loopback and in a temporary folder."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.models.server import free_port
from tests.servers.launching import launch

PASSWORD = "nats-canary-5127"
_START_S = 60.0


def missing() -> str | None:
    """Why no server can be started here."""
    return None if _program() else "NATS is not installed (Debian: nats-server)"


def _program() -> str | None:
    return shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/bin")


class NatsServer:
    """One server with the user `test`; its streams survive a restart."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="structforge-test-nats-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://test:{PASSWORD}@127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start and wait until it greets."""
        configuration = self.folder / "nats.conf"
        configuration.write_text(
            f'host: "127.0.0.1"\nport: {self.port}\njetstream {{ store_dir: "{self.folder}/data" }}\n'
            f'authorization {{ user: test, password: "{PASSWORD}" }}\n'
        )
        self._process = launch([str(_program()), "-c", str(configuration)], self.folder)
        self._wait_ready()

    def kill(self) -> None:
        """End it as a crash does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(20)
            self._process = None

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                if probe.recv(4) == b"INFO":
                    return
            time.sleep(0.02)
        text = (self.folder / "log").read_text(errors="replace")[-2000:]
        raise TimeoutError(f"nats-server did not start: {text}")


@contextlib.contextmanager
def open_nats() -> Generator[NatsServer]:
    """A started server; the test is skipped, with the reason, where none is installed."""
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    server = NatsServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def nats() -> Iterator[NatsServer]:
    """A server shared by the tests of a session: take subjects of your own, and leave it running."""
    with open_nats() as server:
        yield server
