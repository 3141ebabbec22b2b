"""The shipped examples: where they are, and what they need from a server."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, cast

from engine.dag.spec import WorkflowSpec
from engine.errors import ConfigurationError
from engine.settings import Settings

FOLDER = Path(__file__).parent.parent / "examples"
LOOPBACK = "127.0.0.1"
_PLACE = "examples"
_SERVICE = "service"


def demo_document() -> Path:
    """The example that `structforge demo` runs. Raises: ConfigurationError if the examples are not installed."""
    path = FOLDER / "weather.yaml"
    if not path.exists():
        hint = "run it from a checkout of the repository, or write a workflow of your own"
        raise ConfigurationError("the examples are not part of this installation", details={"hint": hint})
    return path


def is_sample(file: Path) -> bool:
    """Whether a document is one of the shipped examples."""
    return file.resolve().parent == FOLDER.resolve()


def open_loopback(settings: Settings) -> Settings:
    """Settings under which workflows may also call this machine's own services, as the examples do."""
    allowed = settings.http.allowed_hosts
    hosts = allowed if LOOPBACK in allowed else [*allowed, LOOPBACK]
    return settings.override({"http": {"allowed_hosts": hosts}})


def place_files(files_root: Path, tenant: str) -> list[str]:
    """Copy the examples' data into the tenant's files, but never over a file that is there; the paths that are new.

    Raises: ConfigurationError if the folder cannot be written.
    """
    target = files_root / tenant / _PLACE
    placed: list[str] = []
    try:
        target.mkdir(parents=True, exist_ok=True)
        for source in sorted((FOLDER / "data").glob("*.csv")):
            if not (target / source.name).exists():
                shutil.copyfile(source, target / source.name)
                placed.append(f"{_PLACE}/{source.name}")
    except OSError as error:
        raise ConfigurationError(f"cannot place the examples' data in {target}: {error.strerror}") from error
    return placed


def with_service(spec: WorkflowSpec, given: Any, api_url: str) -> Any:
    """The input with this server's address as `service`, where the example asks for one and none was given."""
    asked = cast("dict[str, Any]", spec.inputs.get("properties") or {})
    if _SERVICE not in asked or not (given is None or isinstance(given, dict)):
        return given
    return {_SERVICE: api_url, **cast("dict[str, Any]", given or {})}
