"""A real RabbitMQ for tests: the system's package as a node of its own, on loopback and in a temporary folder."""

from __future__ import annotations

import contextlib
import os
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

PASSWORD = "rabbit-canary-7391"
_SCRIPT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_START_S = 120.0
_STOP_S = 15.0


def missing() -> str | None:
    """Why no server can be started here."""
    if not _SCRIPT.exists() and shutil.which("rabbitmq-server") is None:
        return "RabbitMQ is not installed (Debian: rabbitmq-server)"
    return None if shutil.which("epmd") else "Erlang's epmd is not installed (Debian: erlang-base)"


class RabbitServer:
    """One broker with the user `test`. Its port mapper is its own too, so nothing outlives `remove`."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="structforge-test-rabbit-"))
        self.port = free_port()
        self._epmd_port = free_port()
        self._distribution_port = free_port()
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        return f"amqp://test:{PASSWORD}@127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Start and wait until it takes connections."""
        self._configure()
        environment = self._environment()
        mapper = [str(shutil.which("epmd")), "-port", str(self._epmd_port), "-address", "127.0.0.1"]
        server = [str(_SCRIPT) if _SCRIPT.exists() else str(shutil.which("rabbitmq-server"))]
        self._processes = [
            launch(mapper, self.folder, environment=environment),
            launch(server, self.folder, environment=environment, death_signal=signal.SIGTERM),
        ]
        self._wait_ready()

    def kill(self) -> None:
        """End it as a crash does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def freeze(self, frozen: bool) -> None:
        """Let it keep its connections and answer nothing, or go on."""
        for process in self._processes[1:]:
            os.killpg(process.pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        # The server first: it takes its leave from the port mapper.
        for process in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, how)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(_STOP_S)
        self._processes = []

    def _configure(self) -> None:
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.local = 127.0.0.1:{self.port}\ndefault_user = test\ndefault_pass = {PASSWORD}\n"
            "default_user_tags.administrator = true\nlog.console = true\nlog.file = false\n"
            "vm_memory_high_watermark.absolute = 512MB\ndisk_free_limit.absolute = 1MB\n"
        )
        (self.folder / "enabled_plugins").write_text("[].\n")

    def _environment(self) -> dict[str, str]:
        folder = str(self.folder)
        return {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "LANG": "C.UTF-8",
            "HOME": folder,  # Erlang keeps its cookie here
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"structforge{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/logs",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_FEATURE_FLAGS_FILE": f"{folder}/feature_flags",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none",
        }

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self._processes[1].poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                probe.sendall(b"AMQP\x00\x00\x09\x01")
                probe.settimeout(5)
                if probe.recv(1):
                    return
            time.sleep(0.05)
        text = (self.folder / "log").read_text(errors="replace")[-2000:]
        self.kill()
        raise TimeoutError(f"RabbitMQ did not start: {text}")


@contextlib.contextmanager
def open_rabbitmq() -> Generator[RabbitServer]:
    """A started server; the test is skipped, with the reason, where none is installed."""
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    server = RabbitServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitServer]:
    """A server shared by the tests of a session: take queue names of your own, and leave it running."""
    with open_rabbitmq() as server:
        yield server
