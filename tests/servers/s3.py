"""An S3 server for tests, as a process of its own: moto's, which speaks the protocol and checks nothing of keys."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.models.server import free_port
from tests.servers.launching import launch

BUCKET = "structforge"
_START_S = 60.0


@contextlib.contextmanager
def running_s3() -> Generator[str]:
    """Its URL; the bucket `BUCKET` is there."""
    port, folder = free_port(), Path(tempfile.mkdtemp(prefix="structforge-test-s3-"))
    process = launch([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], folder)
    url = f"http://127.0.0.1:{port}"
    try:
        _await_port(port)
        request = urllib.request.Request(f"{url}/{BUCKET}", method="PUT")
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30):
            yield url
    finally:
        process.kill()
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _await_port(port: int) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("moto did not start")


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """URL of a server; a skip with its reason where it is not installed."""
    if importlib.util.find_spec("moto") is None:
        pytest.skip("moto is not installed")
    with running_s3() as url:
        yield url
