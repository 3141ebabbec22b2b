"""Histories on disk: one file each, compressed JSON, named by what it holds. Files are only added, never changed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHistory

FOLDER = Path(__file__).parent / "histories"
MAX_BYTES = 400_000  # of one history, before it is compressed
_SUFFIXES = (".json", ".json.gz")


def stored(folder: Path = FOLDER) -> dict[str, Path]:
    """Every history of the folder by its name."""
    found = [path for path in folder.iterdir() if path.name.endswith(_SUFFIXES)]
    return {_name_of(path): path for path in sorted(found)}


def read(path: Path) -> WorkflowHistory:
    data = path.read_bytes()
    tree: dict[str, Any] = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    return WorkflowHistory.from_json(tree.pop("workflowId"), tree)


def write_anew(folder: Path, name: str, histories: list[WorkflowHistory], *, limit: int) -> list[Path]:
    """Keep at most `limit` histories as `name`, `name-2`, ...; nothing if the name has been given, for it is kept.

    Large ones are left out, and those that hold a message as an object, which is nowhere else.
    """
    if name in stored(folder):
        return []
    texts = [(history.workflow_id, history.to_json()) for history in histories]
    fit = [(owner, text) for owner, text in texts if len(text) <= MAX_BYTES and "object-of" not in text]
    written: list[Path] = []
    for number, (owner, text) in enumerate(fit[:limit], start=1):
        path = folder / (f"{name}.json.gz" if number == 1 else f"{name}-{number}.json.gz")
        tree = {"workflowId": owner, **_nameless(json.loads(text))}
        data = json.dumps(tree, separators=(",", ":"), sort_keys=True).encode()
        path.write_bytes(gzip.compress(data, mtime=0))
        written.append(path)
    return written


def _name_of(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".json")


def _nameless(tree: Any) -> Any:
    """A history without the machine that made it; a replay does not look at that."""
    if isinstance(tree, list):
        return [_nameless(value) for value in tree]
    if not isinstance(tree, dict):
        return tree
    named = {key: _nameless(value) for key, value in tree.items() if key != "stackTrace"}
    if "identity" in named:
        named["identity"] = "worker"
    if named.get("kind") == "TASK_QUEUE_KIND_STICKY":
        named["name"] = "sticky"
    return named
