"""Short ways to write documents and to read what is wrong with them, against the real catalogue and parser."""

from __future__ import annotations

from typing import Any

from engine.dag.document import parse_spec
from engine.dag.limits import Limits
from engine.dag.validate import validate
from engine.errors import Issue
from engine.expressions.references import AstReferenceParser
from engine.nodes.registry import built_in_catalogue


def node(node_id: str, mapping: Any = 1, **keys: Any) -> dict[str, Any]:
    return {"id": node_id, "type": "transform", "params": {"mapping": mapping}, **keys}


def loop(node_id: str, body: dict[str, Any], **params: Any) -> dict[str, Any]:
    return {"id": node_id, "type": "loop", "params": {"loop_type": "for", "count": 2, "body": body, **params}}


def foreach(node_id: str, body: dict[str, Any], **params: Any) -> dict[str, Any]:
    return {"id": node_id, "type": "loop", "params": {"loop_type": "foreach", "items": [1], "body": body, **params}}


def parallel(node_id: str, *branches: dict[str, Any], **params: Any) -> dict[str, Any]:
    return {"id": node_id, "type": "parallel", "params": {"branches": list(branches), **params}}


def edges(*pairs: str) -> list[dict[str, str]]:
    """`edges("a b", "b.error c")`."""
    found: list[dict[str, str]] = []
    for pair in pairs:
        source, target = pair.split()
        source, _, port = source.partition(".")
        found.append({"source": source, "target": target, **({"source_port": port} if port else {})})
    return found


def graph(*nodes: dict[str, Any], links: list[dict[str, str]] | None = None, **keys: Any) -> dict[str, Any]:
    return {"nodes": list(nodes), "edges": links or [], **keys}


def issues(document: dict[str, Any], limits: Limits | None = None) -> list[Issue]:
    return validate(parse_spec({"name": "x", **document}), built_in_catalogue(), AstReferenceParser(), limits)


def found(document: dict[str, Any], limits: Limits | None = None) -> list[tuple[str, str]]:
    """Code and path of every issue."""
    return [(issue.code, issue.path) for issue in issues(document, limits)]
