"""A document in a file: read, checked, and everything that is wrong with it told at once."""

from __future__ import annotations

import contextlib
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.dag.document import parse_spec, read_document
from engine.dag.limits import Limits
from engine.dag.spec import WorkflowSpec
from engine.dag.validate import validate
from engine.errors import ConfigurationError, Issue, ValidationFailed
from engine.settings.work import LimitSettings

STANDARD_INPUT = Path("-")
_MOST_BYTES_READ = 100_000_000


@dataclass(frozen=True, slots=True)
class Document:
    """A document that can run; `warnings` are the issues that do not hinder it."""

    raw: dict[str, Any]
    spec: WorkflowSpec
    warnings: list[Issue]


def load_document(path: Path, limits: LimitSettings) -> Document:
    """Read and check a file; `-` is standard input.

    Raises: ConfigurationError if it cannot be read; ValidationFailed with every issue, warnings included.
    """
    data = read_file(path)
    try:
        raw = read_document(data, name=path.name, max_bytes=limits.max_document_bytes)
        spec = parse_spec(raw)
    except ValidationFailed as failure:
        raise ValidationFailed(failure.issues, shown(path)) from None
    issues = check(spec, limits)
    if any(issue.severity == "error" for issue in issues):
        raise ValidationFailed(issues, shown(path))
    return Document(raw, spec, issues)


def check(spec: WorkflowSpec, limits: LimitSettings) -> list[Issue]:
    """Every issue of what a document means."""
    from engine.expressions.references import AstReferenceParser
    from engine.nodes.registry import catalogue_of
    from engine.settings import load_settings

    bounds = Limits(
        max_nodes=limits.max_nodes,
        max_body_depth=limits.max_body_depth,
        max_expression_bytes=limits.max_expression_bytes,
        max_iterations=limits.max_iterations,
    )
    return validate(spec, catalogue_of(load_settings()), AstReferenceParser(), bounds)


def read_file(path: Path) -> bytes:
    """The file's bytes. Raises: ConfigurationError that says why it cannot be read."""
    if path == STANDARD_INPUT:
        return sys.stdin.buffer.read(_MOST_BYTES_READ)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ConfigurationError(f"{path} is a folder, not a file", details={"hint": _inside(path)})
        if stat.S_ISREG(status.st_mode) and status.st_size > _MOST_BYTES_READ:
            raise ConfigurationError(f"{path} has {status.st_size:,} bytes; no document is that large")
        with path.open("rb") as file:
            return file.read(_MOST_BYTES_READ)
    except FileNotFoundError:
        raise ConfigurationError(f"there is no file {path}", details={"hint": _beside(path)}) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError(f"{path} cannot be read: {reason}") from None


def shown(path: Path) -> str:
    """How messages name the document."""
    return "standard input" if path == STANDARD_INPUT else str(path)


def _inside(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir() if entry.suffix in (".yaml", ".yml", ".json"))
    return f"name one of its documents, such as {folder / names[0]}" if names else "name a YAML or JSON document"


def _beside(path: Path) -> str:
    from difflib import get_close_matches

    folder = path.parent
    names: list[str] = []
    with contextlib.suppress(OSError):
        names = [entry.name for entry in folder.iterdir()]
    near = get_close_matches(path.name, names, n=1)
    return f"did you mean {folder / near[0]}?" if near else f"the working folder is {Path.cwd()}"
