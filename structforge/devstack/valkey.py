"""Embedded Valkey: the live view, with a password and an append-only file."""

from __future__ import annotations

from pathlib import Path

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from structforge.devstack.folder import StackSecrets, write_private
from structforge.devstack.ports import LOOPBACK
from structforge.devstack.process import Command

# Losing the last second of a live view is fine (PostgreSQL is the record), so the file is synced once a second.
CONFIGURATION = """\
bind {host}
port {port}
requirepass {password}
dir "{folder}"
daemonize no
save ""
appendonly yes
appendfsync everysec
"""


class ValkeyServer:
    """The embedded Redis-compatible server on `port`."""

    name = "valkey"

    def __init__(self, data_dir: Path, program: Path, port: int, secrets: StackSecrets) -> None:
        self._data_dir = data_dir
        self._program = program
        self._port = port
        self._password = secrets.redis

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@{LOOPBACK}:{self._port}/0"

    async def prepare(self) -> Command:
        folder = self._data_dir / "valkey"
        folder.mkdir(mode=0o700, exist_ok=True)
        # A file and no arguments: every user of the machine can read a command line.
        configuration = folder / "valkey.conf"
        text = CONFIGURATION.format(host=LOOPBACK, port=self._port, password=self._password, folder=folder)
        write_private(configuration, text)
        argv = [str(self._program), str(configuration)]
        return Command(name=self.name, argv=argv, log=self._data_dir / "logs" / "valkey.log")

    async def is_ready(self) -> bool:
        # No retries: the client's own, with growing waits, would slow the start down.
        once = Retry(NoBackoff(), 0)
        client = Redis(host=LOOPBACK, port=self._port, password=self._password, socket_timeout=5, retry=once)
        try:
            return bool(await client.ping())
        except (RedisError, OSError):
            # Also while it loads its file.
            return False
        finally:
            await client.aclose()
