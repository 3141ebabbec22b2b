"""Bodies of versions. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from structforge.client.shapes import ReplyModel


class Change(ReplyModel):
    """A place in a section or node, such as `params.url`, and what stood there; `before` is None where it is new."""

    path: str
    kind: str
    before: Any = None
    after: Any = None


class Edge(ReplyModel):
    source: str
    source_port: str
    target: str
    target_port: str


class NodeChange(ReplyModel):
    """A node that both specs have; the paths begin inside it."""

    id: str
    changes: list[Change]


class GraphDiff(ReplyModel):
    """`reordered`: nodes or edges that both have stand in another order, which decides ties."""

    nodes_added: list[str] | None = None
    nodes_removed: list[str] | None = None
    nodes_changed: list[NodeChange] | None = None
    edges_added: list[Edge] | None = None
    edges_removed: list[Edge] | None = None
    reordered: bool | None = None


class DiffReply(ReplyModel):
    """What makes version `after` of version `before`."""

    before: int
    after: int
    same: bool
    graph: GraphDiff
    handlers: GraphDiff
    sections: list[Change]


class Pruned(ReplyModel):
    """How many old versions are gone."""

    removed: int


class VersionDetail(ReplyModel):
    """A version with its document."""

    id: UUID
    number: int
    author: str
    note: str
    valid: bool
    digest: str
    published: bool
    created_at: datetime
    document: dict[str, Any]


class VersionReply(ReplyModel):
    """A version without its document."""

    id: UUID
    number: int
    author: str
    note: str
    valid: bool
    digest: str
    published: bool
    created_at: datetime
