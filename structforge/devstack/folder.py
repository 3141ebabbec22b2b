"""The data folder: its lock, its secrets and the note that tells other commands where the server is."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import psutil

from engine.errors import ConfigurationError

LOCK_FILE = "lock"
RUN_FILE = "run.json"
SERVERS_FILE = "servers.json"
SECRETS_FILE = "secrets.json"
API_KEY_FILE = "api-key"


@dataclass(frozen=True, slots=True)
class RunningServer:
    """What a running server wrote down about itself (mode 0600); an address is None until that part serves."""

    pid: int
    api_url: str | None = None
    temporal_ui_url: str | None = None
    temporal_address: str | None = None
    database_url: str | None = field(default=None, repr=False)
    redis_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class StackSecrets:
    """Random passwords of the embedded servers, made once for a data folder."""

    postgres_superuser: str
    postgres_owner: str
    postgres_app: str
    redis: str


def prepare(data_dir: Path) -> None:
    """Create the data folder, closed to other users.

    Root's is `0711`: PostgreSQL runs as another user then, and must pass through it. Files in it are `0600`.
    Raises: ConfigurationError if it cannot be created or written.
    """
    try:
        if not data_dir.exists():
            data_dir.mkdir(parents=True, mode=0o700)
            data_dir.chmod(0o711 if os.geteuid() == 0 else 0o700)
    except OSError as error:
        raise ConfigurationError(f"STRUCTFORGE_DATA_DIR: cannot create {data_dir}: {error.strerror}") from error
    if not data_dir.is_dir() or not os.access(data_dir, os.W_OK | os.X_OK):
        raise ConfigurationError(f"STRUCTFORGE_DATA_DIR: {data_dir} is not a folder that can be written")


@contextlib.contextmanager
def locked(data_dir: Path) -> Generator[None]:
    """Hold the folder for this process; the kernel lets go of it at any death.

    Raises: ConfigurationError saying which process holds it.
    """
    prepare(data_dir)
    descriptor = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _try_lock(descriptor):
            raise ConfigurationError(_already_running(data_dir))
        announce(data_dir, RunningServer(os.getpid()))
        try:
            yield
        finally:
            (data_dir / RUN_FILE).unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    # More than once, because `find_running` holds the lock for an instant when it looks.
    for _ in range(5):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.05)
    return False


def find_running(data_dir: Path) -> RunningServer | None:
    """The server that holds this data folder now, if any; a note left by a dead one does not count."""
    try:
        descriptor = os.open(data_dir / LOCK_FILE, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_run(data_dir)
    finally:
        os.close(descriptor)
    return None


def announce(data_dir: Path, server: RunningServer) -> None:
    """Write down where the server is, for the other commands on this folder."""
    write_private(data_dir / RUN_FILE, json.dumps(asdict(server)))


def load_secrets(data_dir: Path) -> StackSecrets:
    """The folder's passwords, made on first use."""
    path = data_dir / SECRETS_FILE
    if path.exists():
        return StackSecrets(**json.loads(path.read_text()))
    made = StackSecrets(*(secrets.token_urlsafe(24) for _ in range(4)))
    write_private(path, json.dumps(asdict(made)))
    return made


def load_api_key(data_dir: Path) -> str:
    """The folder's first API key, made on first use in the file `api-key`."""
    path = data_dir / API_KEY_FILE
    if not path.exists():
        write_private(path, "sf_" + secrets.token_urlsafe(32) + "\n")
    return path.read_text().strip()


def write_private(path: Path, text: str) -> None:
    """Replace a file whole, mode 0600: a reader or a crash never meets half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def note_servers(data_dir: Path, pids: list[int]) -> None:
    """Remember the running servers, so that the next start can wait for those a kill -9 left dying."""
    started: dict[str, float] = {}
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            started[str(pid)] = psutil.Process(pid).create_time()
    write_private(data_dir / SERVERS_FILE, json.dumps(started))


def end_leftovers(data_dir: Path, patience_s: float = 5) -> None:
    """Wait until the servers of a killed predecessor are gone, then kill what is left; two must never share data."""
    path = data_dir / SERVERS_FILE
    noted = cast("dict[str, float]", json.loads(path.read_text())) if path.exists() else {}
    alive = [process for pid, started in noted.items() if (process := _same_process(int(pid), started))]
    deadline = time.monotonic() + patience_s
    while alive and time.monotonic() < deadline:
        time.sleep(0.05)
        alive = [process for process in alive if _is_alive(process)]
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=patience_s)
    path.unlink(missing_ok=True)


def _same_process(pid: int, started: float) -> psutil.Process | None:
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        # A pid is used again after a while; the start time tells the two apart.
        return process if abs(process.create_time() - started) < 1 and _is_alive(process) else None
    return None


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _read_run(data_dir: Path) -> RunningServer | None:
    try:
        note = cast("dict[str, Any]", json.loads((data_dir / RUN_FILE).read_text()))
    except (OSError, ValueError):
        return None
    return RunningServer(**note)


def _already_running(data_dir: Path) -> str:
    server = _read_run(data_dir)
    place = f"pid {server.pid}, API at {server.api_url or 'no address yet'}" if server else "by another process"
    return f"already running on {data_dir}: {place}; stop it, or set STRUCTFORGE_DATA_DIR to another folder"
