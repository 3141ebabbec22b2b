"""Ports that the parameters of a routing node name."""

from __future__ import annotations

from typing import Annotated, Any, cast

from pydantic import AfterValidator, StringConstraints

from engine.nodes.markers import Constant

_RESERVED = ("error", "in")


def _check_not_reserved(name: str) -> str:
    if name in _RESERVED:
        raise ValueError(f"{name} is the name of a port that every node has: take another")
    return name


PortName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"),
    AfterValidator(_check_not_reserved),
    Constant(),
]


def routing_ports(params: dict[str, Any], list_name: str, default: str) -> tuple[str, ...]:
    """The ports named in a list of `{output_port}`, the default port and `error`, each once, in document order."""
    rows = params.get(list_name)
    named = [
        cast("dict[str, Any]", row).get("output_port")
        for row in (cast("list[Any]", rows) if isinstance(rows, list) else [])
        if isinstance(row, dict)
    ]
    names = [name for name in [*named, params.get("default_port", default)] if isinstance(name, str)]
    return tuple(dict.fromkeys([*names, "error"]))


def default_port_of(params: dict[str, Any], default: str) -> str:
    name = params.get("default_port", default)
    return name if isinstance(name, str) else default
