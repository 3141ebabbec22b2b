"""Bodies of the node type routes."""

from __future__ import annotations

from typing import Any

from api.schemas import Reply


class NodeTypeReply(Reply):
    """Everything that a node type publishes about itself."""

    type: str
    name: str
    description: str
    category: str
    icon: str
    version: int
    kind: str
    input_ports: list[str]
    output_ports: list[str]
    default_port: str
    dynamic_ports: bool
    default_timeout_s: float
    params_schema: dict[str, Any]
    result_schema: dict[str, Any]
    examples: list[dict[str, Any]]
    documentation: str
