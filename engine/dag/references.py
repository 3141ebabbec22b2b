"""What a node's templates refer to, and the protocol by which the pure core asks a parser for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from engine.errors import Issue


@dataclass(frozen=True, slots=True)
class NodeReference:
    """`nodes.<id>.<field>`: field is output, status, error or `ports`."""

    id: str
    field: str
    path: str  # where in the document, e.g. nodes[3].params.url


@dataclass(slots=True)
class References:
    """Everything that a JSON tree of templates names. `names` are the top-level names used, sorted."""

    nodes: list[NodeReference] = field(default_factory=list)
    variables: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    constant: bool = True  # no template in it at all
    inputs: list[str] = field(default_factory=list)  # first keys of `inputs.<key>`


class ReferenceParser(Protocol):
    """Finds the references of templates without evaluating anything."""

    def parse(
        self, tree: Any, path: str, *, extra_names: tuple[str, ...] = (), expressions: bool = False
    ) -> References:
        """References of all `{{ }}` in a JSON tree.

        `extra_names` are allowed beside the usual ones (`item`, `index`, `error`, `last`);
        `expressions` says that a bare string is an expression itself (E parameters).
        Syntax errors, unknown names, over-long sources and non-static node access come back as issues.
        """
        ...
