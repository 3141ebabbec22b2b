"""Markdown pages of node types, made from their parameter models so that they cannot fall behind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from engine.nodes.markers import Graph, ItemExpression

if TYPE_CHECKING:
    from engine.nodes.node_type import NodeType

_KINDS = {
    "trigger": "starts an execution",
    "local": "local: runs inside the engine, no outside I/O",
    "io": "I/O: one activity an attempt",
    "durable": "durable: waits in Temporal, survives restarts",
    "container": "container: runs a nested graph",
}


def document_node_type(node_type: NodeType) -> str:
    """The type's page: what it does, ports, parameters, result, examples."""
    return "\n".join(
        [
            f"# {node_type.type}",
            "",
            node_type.description,
            "",
            f"*{_KINDS[node_type.kind]}* · output ports: {_ports(node_type)} · default timeout "
            f"{node_type.default_timeout_s:g} s",
            "",
            *_parameters(node_type),
            *_nested(node_type),
            *_result(node_type),
            *_examples(node_type),
        ]
    )


def _ports(node_type: NodeType) -> str:
    if node_type.ports_of is not None:
        return "named by the parameters, `error`"
    return ", ".join(f"`{port}`" for port in node_type.ports)


def _parameters(node_type: NodeType) -> list[str]:
    fields = node_type.params_model.model_fields
    if not fields:
        return ["It has no parameters.", ""]
    rows = [_row(field.alias or name, field) for name, field in fields.items()]
    return ["## Parameters", "", "| name | default | meaning |", "| --- | --- | --- |", *rows, ""]


def _nested(node_type: NodeType) -> list[str]:
    """Objects that stand inside parameters, each once."""
    lines: list[str] = []
    schemas: dict[str, Any] = node_type.params_schema.get("$defs", {})
    for name, schema in schemas.items():
        members: dict[str, Any] = schema.get("properties", {})
        if not any("description" in member for member in members.values()):
            continue
        lines += [f"### {name}", "", "| name | default | meaning |", "| --- | --- | --- |"]
        lines += [_member(key, member, key in schema.get("required", [])) for key, member in members.items()]
        lines += [""]
    return lines


def _member(name: str, schema: dict[str, Any], required: bool) -> str:
    known = schema.get("default")
    default = "required" if required else "" if known is None else f"`{json.dumps(known)}`"
    return f"| `{name}` | {default} | {schema.get('description', '').replace('|', chr(92) + '|')} |"


def _row(name: str, field: FieldInfo) -> str:
    kind = "(expression) " if any(isinstance(item, ItemExpression) for item in field.metadata) else ""
    required = field.is_required() or any(isinstance(item, Graph) for item in field.metadata)
    meaning = (kind + (field.description or "")).replace("|", "\\|")
    return f"| `{name}` | {'required' if required else _default(field)} | {meaning} |"


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=False)
    if value is None or value is PydanticUndefined:
        return ""
    return f"`{json.dumps(value, default=str)}`"


def _result(node_type: NodeType) -> list[str]:
    members: dict[str, Any] = node_type.result_schema.get("properties", {})
    if not members:
        return []
    lines = [f"- `{name}`: {schema.get('description', schema.get('title', ''))}" for name, schema in members.items()]
    return ["## Output", "", *lines, ""]


def _examples(node_type: NodeType) -> list[str]:
    lines = ["## Examples", ""] if node_type.examples else []
    for example in node_type.examples:
        shown = {"type": node_type.type, "params": example["params"]}
        lines += [f"### {example['title']}", "", "```json", json.dumps(shown, indent=2), "```", ""]
    return lines
