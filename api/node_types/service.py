"""What the node type routes do."""

from __future__ import annotations

import hashlib
from functools import cache

import orjson

from api.node_types.schemas import NodeTypeReply
from engine.errors import NotFound
from engine.nodes.registry import Catalogue


@cache
def list_node_types(catalogue: Catalogue) -> list[NodeTypeReply]:
    """All types, by category and name; made once, for the catalogue does not change."""
    return [NodeTypeReply(**node_type.as_dict()) for node_type in catalogue.types()]


@cache
def catalogue_etag(catalogue: Catalogue) -> str:
    """Changes with any type, so also with a plugin that comes or goes at a restart."""
    listed = orjson.dumps([item.model_dump(mode="json") for item in list_node_types(catalogue)])
    return f'"{hashlib.sha256(listed).hexdigest()[:32]}"'


def get_node_type(catalogue: Catalogue, name: str) -> NodeTypeReply:
    """Raises: NotFound naming the nearest type."""
    found = next((item for item in list_node_types(catalogue) if item.type == name), None)
    if found is None:
        near = catalogue.nearest(name)
        raise NotFound(f"no node type {name[:80]!r}" + (f"; did you mean {near}?" if near else ""))
    return found
