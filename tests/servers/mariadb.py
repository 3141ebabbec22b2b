"""A real MariaDB server on loopback, with TLS, out of the system's package."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import aiomysql
import trustme

from tests.models.server import free_port

ROOT_PASSWORD = "root-password"


def missing_mariadb() -> str | None:
    """Why no server can be started, None if one can."""
    absent = [name for name in ("mariadbd", "mariadb-install-db") if _which(name) is None]
    return f"{', '.join(absent)} not installed (Debian package mariadb-server)" if absent else None


def _which(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin")


class MariadbServer:
    """One server; `ca_file` signs its certificate, which names `localhost` and no address."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="structforge-test-mariadb-"))
        self.port = free_port()
        self.ca_file = self.folder / "ca.pem"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mysql://root:{ROOT_PASSWORD}@127.0.0.1:{self.port}/shop"

    def start(self) -> None:
        """Make the data folder and start; `wait_ready` says when it answers."""
        self._write_certificates()
        install = [str(_which("mariadb-install-db")), "--no-defaults", f"--datadir={self.folder / 'data'}"]
        install += ["--auth-root-authentication-method=normal", "--skip-test-db", *_as_root()]
        subprocess.run(install, check=True, capture_output=True, timeout=60)
        setup = self.folder / "init.sql"
        setup.write_text(
            f"ALTER USER root@localhost IDENTIFIED BY '{ROOT_PASSWORD}';\n"
            "CREATE DATABASE IF NOT EXISTS shop CHARACTER SET utf8mb4;\n"
        )
        command = [str(_which("mariadbd")), "--no-defaults", f"--datadir={self.folder / 'data'}", *_as_root()]
        command += ["--bind-address=127.0.0.1", f"--port={self.port}", f"--socket={self.folder / 'socket'}"]
        command += [f"--init-file={setup}", "--skip-log-bin", "--innodb-flush-log-at-trx-commit=0"]
        command += [f"--ssl-cert={self.folder / 'cert.pem'}", f"--ssl-key={self.folder / 'key.pem'}"]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def _write_certificates(self) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("localhost")
        authority.cert_pem.write_to_path(self.ca_file)
        issued.private_key_pem.write_to_path(self.folder / "key.pem")
        for part in issued.cert_chain_pems:
            part.write_to_path(self.folder / "cert.pem", append=True)

    async def wait_ready(self) -> None:
        async with asyncio.timeout(90):
            while True:
                try:
                    connection = await self.connect()
                except aiomysql.OperationalError:
                    await asyncio.sleep(0.05)
                else:
                    connection.close()
                    return

    async def connect(self) -> aiomysql.Connection:
        return await aiomysql.connect(
            host="127.0.0.1", port=self.port, user="root", password=ROOT_PASSWORD, db="shop", autocommit=True
        )

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)


def _as_root() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []
