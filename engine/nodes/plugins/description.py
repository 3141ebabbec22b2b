"""description.json: all that the API and the workers must know of an isolated plugin's node types, without its code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from engine.nodes.markers import Constant, Graph, ItemExpression, has_marker
from engine.nodes.node_type import NodeType
from engine.nodes.plugins.manifest import PluginFault, PluginSource

FORMAT = 1
IO_TIMEOUT_S = 30.0


def describe(source: PluginSource, types: Sequence[NodeType], *, python: str) -> dict[str, Any]:
    """JSON data. Raises: PluginFault for a type that must run inside the engine."""
    return {
        "format": FORMAT,
        "plugin": source.name,
        "version": source.manifest.version,
        "digest": source.digest(),
        "python": python,
        "types": [_describe_type(item) for item in types],
    }


def _describe_type(item: NodeType) -> dict[str, Any]:
    problem = _needs_engine(item)
    if problem:
        hint = "leave `isolated` out of the manifest, or change the node type"
        raise PluginFault(f"the node type {item.type} cannot be isolated: {problem}", hint)
    # Whatever it was written as, a call into another process is I/O.
    item = replace(item, kind="io", default_timeout_s=max(item.default_timeout_s, IO_TIMEOUT_S))
    return {
        "type": item.type,
        "name": item.name,
        "description": item.description,
        "category": item.category,
        "icon": item.icon,
        "version": item.version,
        "ports": list(item.ports),
        "default_port": item.default_port,
        "default_timeout_s": item.default_timeout_s,
        "reads_upstream": item.reads_upstream,
        # A function of the parameters cannot be described, and what is not known counts against it.
        "idempotent": item.is_idempotent if isinstance(item.is_idempotent, bool) else False,
        "params_schema": item.params_schema,
        "result_schema": item.result_schema,
        "examples": [dict(example) for example in item.examples],
        "documentation": item.documentation,
    }


def _needs_engine(item: NodeType) -> str:
    """Why a type cannot be described by data alone; "" if it can."""
    if item.kind not in ("local", "io"):
        return f"the engine itself acts on {item.kind} nodes"
    if item.ports_of is not None or item.default_port_of is not None:
        return "its ports depend on its parameters"
    if item.check is not None:
        return "it checks documents with code of its own"
    if any(has_marker(item.params_model, marker) for marker in (ItemExpression, Constant, Graph)):
        return "it has parameters that the engine reads as expressions, constants or graphs"
    return ""


def read_description(source: PluginSource) -> dict[str, Any]:
    """The description beside the manifest.

    Raises: PluginFault if there is none, or it is of another plugin or an unknown format.
    """
    hint = f"run structforge plugin describe {source.name}"
    try:
        found: Any = json.loads(source.description_path.read_text("utf-8"))
    except FileNotFoundError:
        raise PluginFault("it has not been described yet", hint) from None
    except (OSError, ValueError) as error:
        raise PluginFault(f"{source.description_path.name} cannot be read: {error}", hint) from None
    if not isinstance(found, dict):
        raise PluginFault(f"{source.description_path.name} is no description", hint)
    tree = cast("dict[str, Any]", found)
    if tree.get("format") != FORMAT or tree.get("plugin") != source.name:
        raise PluginFault(f"{source.description_path.name} is not of this plugin or of another format", hint)
    return tree


def is_current(source: PluginSource) -> bool:
    """Whether the description was made of the code that is there now."""
    try:
        return read_description(source).get("digest") == source.digest()
    except PluginFault:
        return False


def write_description(source: PluginSource, description: dict[str, Any]) -> None:
    """Raises: PluginFault if the folder cannot be written."""
    text = json.dumps(description, indent=1, ensure_ascii=False) + "\n"
    beside = source.description_path.with_suffix(".tmp")
    try:
        beside.write_text(text, "utf-8")
        beside.replace(source.description_path)
    except OSError as error:
        raise PluginFault(f"{source.description_path} cannot be written: {error.strerror}") from None
