"""Routes of node types. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from structforge.client.calls import Call, call, part
from structforge.client.models.node_types import NodeTypeReply


class NodeTypesRoutes:
    """Routes of node types."""

    @call
    def list_node_types(self) -> Call[list[NodeTypeReply]]:
        """The catalogue: every node type with its ports, parameters, result and documentation."""
        return Call("GET", "/api/v1/node-types", list[NodeTypeReply])

    @call
    def get_node_type(self, name: str) -> Call[NodeTypeReply]:
        """One node type."""
        return Call("GET", f"/api/v1/node-types/{part(name)}", NodeTypeReply)
