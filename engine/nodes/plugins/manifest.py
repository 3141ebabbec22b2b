"""plugin.toml: what a plugin says of itself, readable without its code.

    name = "acme"
    version = "1.2.0"
    requires_structforge = ">=0.1,<1"
    node_types = ["acme.greet"]
    isolated = true

    [environment]
    python = ".venv/bin/python"

Nothing here imports more than pydantic, for the plugin's own interpreter reads its manifest too.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

MANIFEST = "plugin.toml"
DESCRIPTION = "description.json"
MAX_SOURCES = 2000
_NO_SOURCES = ("test_", "conftest")

PluginName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
TypeName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}\.[a-z][a-z0-9_]{0,59}$")]
QueueName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$")]


class PluginFault(Exception):
    """A plugin cannot be used; `hint` says how to mend it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Environment(_Part):
    """The processes of an isolated plugin."""

    python: str | None = Field(default=None, description="interpreter, relative to the folder; by default the worker's")
    memory_mb: int = Field(default=1024, ge=128, le=1_000_000, description="address space of one process")
    processes: int = Field(default=4, ge=1, le=100, description="node executions at a time in one worker")
    variables: tuple[str, ...] = Field(default=(), description="variables of the worker that its processes may see")


class PluginManifest(_Part):
    name: PluginName
    version: str = Field(min_length=1, max_length=50)
    description: str = ""
    requires_structforge: str = Field(default="", description="versions that it works with, as in a requirement")
    modules: tuple[str, ...] = Field(default=(), description="by default every .py beside the manifest but tests")
    node_types: tuple[TypeName, ...] = Field(default=(), description="what it brings; all begin with its name")
    task_queue: QueueName | None = Field(default=None, description="served by workers started with --queues")
    isolated: bool = Field(default=False, description="run in processes of its own, which may die without harm")
    environment: Environment = Environment()


@dataclass(frozen=True, slots=True)
class PluginSource:
    """A plugin on disk: its manifest, and the folder that its code stands in."""

    path: Path  # of the manifest
    manifest: PluginManifest

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def is_single_file(self) -> bool:
        """`greet.toml` beside `greet.py`, instead of a folder with a plugin.toml."""
        return self.path.name != MANIFEST

    @property
    def description_path(self) -> Path:
        return self.path.with_suffix(".description.json") if self.is_single_file else self.folder / DESCRIPTION

    def modules(self) -> list[str]:
        """Modules to import, in order: names of files beside the manifest, or of installed packages."""
        if self.manifest.modules:
            return list(self.manifest.modules)
        if self.is_single_file:
            return [self.path.stem]
        return [path.stem for path in sorted(self.folder.glob("*.py")) if _is_source(path)]

    def digest(self) -> str:
        """Of the manifest and the code beside it; another digest means that a description may be out of date."""
        digest = hashlib.sha256()
        for path in [self.path, *self._sources()]:
            digest.update(f"{path.relative_to(self.folder)}\0".encode())
            digest.update(path.read_bytes())
        return digest.hexdigest()[:32]

    def _sources(self) -> Iterator[Path]:
        if self.is_single_file:
            yield self.path.with_suffix(".py")
            return
        for count, path in enumerate(_python_files(self.folder)):
            if count >= MAX_SOURCES:
                return
            yield path


def read_manifest(path: Path) -> PluginSource:
    """Raises: PluginFault naming every problem of the manifest."""
    try:
        manifest = PluginManifest.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PluginFault(f"{path.name} cannot be read: {error}", f"mend {path}") from None
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_url=False)]
        raise PluginFault(f"{path.name} is wrong: {'; '.join(problems)}", f"mend {path}") from None
    for type_name in manifest.node_types:
        check_type_name(manifest, type_name)
    return PluginSource(path, manifest)


def check_type_name(manifest: PluginManifest, type_name: str) -> None:
    """Raises: PluginFault if a type's name does not begin with the name of its plugin."""
    if type_name.partition(".")[0] != manifest.name or "." not in type_name:
        hint = f"call it {manifest.name}.{type_name.rpartition('.')[2]}"
        raise PluginFault(f"the node type {type_name} does not begin with {manifest.name}.", hint)


def _is_source(path: Path) -> bool:
    return not path.name.startswith("_") and not path.name.startswith(_NO_SOURCES)


def _python_files(folder: Path) -> Iterator[Path]:
    """Code below a folder, without virtual environments and hidden folders."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "__pycache__")):
            continue
        if path.is_dir() and not (path / "pyvenv.cfg").exists():
            yield from _python_files(path)
        elif path.suffix == ".py" and not path.name.startswith(_NO_SOURCES):
            yield path
