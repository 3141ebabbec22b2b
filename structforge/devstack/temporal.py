"""Embedded Temporal: server and Web UI in one process, on SQLite with a write-ahead log."""

from __future__ import annotations

from pathlib import Path

import httpx2

from structforge.devstack.ports import LOOPBACK
from structforge.devstack.process import Command

SEARCH_ATTRIBUTES = ("StructForgeTenant", "StructForgeWorkflow", "StructForgeTrigger", "StructForgeStatus")

# Without the two, every transaction waits for a full sync: 14 activities a second where these give 46.
SQLITE_PRAGMAS = {"journal_mode": "WAL", "synchronous": "1"}

DYNAMIC_CONFIG = {
    # The queue processors poll at most 20 times a second by default; a chain of short activities then waits for polls.
    "history.transferProcessorMaxPollRPS": "2000",
    "history.timerProcessorMaxPollRPS": "2000",
    "history.visibilityProcessorMaxPollRPS": "2000",
    # Tenants share task queues fairly. Turns are taken inside a partition of a queue, and a worker that has one free
    # place asks one partition: of four, a tenant's only task stands behind the others' on three tries out of four.
    "matching.enableFairness": "true",
    "matching.numTaskqueueWritePartitions": "1",
    # Rate limits that protect a shared cluster from one tenant. Here one application owns the server, and a burst of it
    # (thousands of executions started at once) is to be slowed by the machine, not by refusals.
    "frontend.rps": "100000",
    "frontend.namespaceRPS": "100000",
    "history.rps": "100000",
    "matching.rps": "100000",
    "frontend.persistenceMaxQPS": "100000",
    "history.persistenceMaxQPS": "100000",
    "matching.persistenceMaxQPS": "100000",
}


# Made with the database: its queues have never had more than one partition, so that none can hold a forgotten task.
ONE_PARTITION = "one-partition"


class TemporalServer:
    """The embedded Temporal server; `http_port` serves its own API, used to see when it is ready."""

    name = "temporal"

    def __init__(
        self,
        data_dir: Path,
        program: Path,
        namespace: str,
        *,
        port: int,
        ui_port: int,
        http_port: int,
        metrics_port: int,
    ) -> None:
        self._data_dir = data_dir
        self._program = program
        self._namespace = namespace
        self._http_port = http_port
        self._ports = {"port": port, "ui-port": ui_port, "http-port": http_port, "metrics-port": metrics_port}

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self._ports['port']}"

    @property
    def ui_url(self) -> str:
        return f"http://{LOOPBACK}:{self._ports['ui-port']}"

    async def prepare(self) -> Command:
        folder = self._data_dir / "temporal"
        folder.mkdir(mode=0o700, exist_ok=True)
        database, one_partition = folder / "temporal.db", folder / ONE_PARTITION
        if not database.exists():
            one_partition.touch(mode=0o600)
        config = DYNAMIC_CONFIG | ({"matching.numTaskqueueReadPartitions": "1"} if one_partition.exists() else {})
        argv = [str(self._program), "server", "start-dev", "--ip", LOOPBACK, "--ui-ip", LOOPBACK]
        argv += ["--db-filename", str(database), "--namespace", self._namespace]
        argv += ["--log-level", "warn", "--ui-disable-news-fetch"]
        for flag, port in self._ports.items():
            argv += [f"--{flag}", str(port)]
        for attribute in SEARCH_ATTRIBUTES:
            argv += ["--search-attribute", f"{attribute}=Keyword"]
        argv += _pairs("--sqlite-pragma", SQLITE_PRAGMAS) + _pairs("--dynamic-config-value", config)
        return Command(name=self.name, argv=argv, log=self._data_dir / "logs" / "temporal.log")

    async def is_ready(self) -> bool:
        base = f"http://{LOOPBACK}:{self._http_port}/api/v1/namespaces/{self._namespace}"
        # `trust_env=False`: a proxy in the environment is not meant for the loopback address.
        async with httpx2.AsyncClient(timeout=2, trust_env=False) as client:
            try:
                answer = await client.get(f"{base}/search-attributes")
                known = answer.json().get("customAttributes", {}) if answer.status_code == 200 else {}
            except (httpx2.HTTPError, ValueError):
                return False
        # The port opens before namespace and search attributes exist; starts would fail in between.
        return all(attribute in known for attribute in SEARCH_ATTRIBUTES)


def _pairs(flag: str, values: dict[str, str]) -> list[str]:
    return [part for name, value in values.items() for part in (flag, f"{name}={value}")]
