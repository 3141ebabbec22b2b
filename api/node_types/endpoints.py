"""Routes of node types."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.conditional import IfNoneMatch, has_already, not_modified, tag
from api.node_types import service
from api.node_types.schemas import NodeTypeReply
from api.permissions import Permission, requires
from api.resources import Held

router = APIRouter(prefix="/node-types", tags=["node types"])


@router.get("", response_model=list[NodeTypeReply])
@requires(Permission.NODE_TYPE_READ)
async def list_node_types(
    response: Response, resources: Held, if_none_match: IfNoneMatch = None
) -> list[NodeTypeReply] | Response:
    """The catalogue: every node type with its ports, parameters, result and documentation."""
    etag = service.catalogue_etag(resources.catalogue)
    if has_already(if_none_match, etag):
        return not_modified(etag)
    tag(response, etag)
    return service.list_node_types(resources.catalogue)


@router.get("/{name}")
@requires(Permission.NODE_TYPE_READ)
async def get_node_type(name: str, resources: Held) -> NodeTypeReply:
    """One node type."""
    return service.get_node_type(resources.catalogue, name)
