"""Bodies of node types. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from typing import Any

from structforge.client.shapes import ReplyModel


class NodeTypeReply(ReplyModel):
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
