"""An API process of its own, which a test may stop, kill and start again on the same port."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from engine.settings import Settings
from tests.models.server import free_port

ROOT = Path(__file__).parents[3]
READY_S = 60


@dataclass(slots=True)
class ApiProcess:
    settings: Settings
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        own = self.settings.override({"api": {"port": self.port}})
        environment = {name: value for name, value in os.environ.items() if not name.startswith("STRUCTFORGE_")}
        self._process = subprocess.Popen(  # noqa: ASYNC220 (it starts at once, and is awaited below)
            [sys.executable, "-m", "structforge", "api"], cwd=ROOT, env=environment | own.as_environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        async with asyncio.timeout(READY_S), httpx2.AsyncClient(base_url=self.url, trust_env=False) as client:
            while not await _answers(client):
                assert self._process.poll() is None, "the API process ended"
                await asyncio.sleep(0.05)

    async def end(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(how)
        await asyncio.to_thread(self._process.wait, READY_S)


async def _answers(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/healthz")).status_code == 200
    except httpx2.HTTPError:
        return False
