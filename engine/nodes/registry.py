"""The catalogue of node types, found by looking into the node packages; nothing central lists them."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType

from engine.errors import ConfigurationError
from engine.nodes.base import node_type_of
from engine.nodes.node_type import NodeType

PACKAGES = tuple(f"engine.nodes.{name}" for name in ("trigger", "data", "control", "integration", "tool", "ai"))
ENTRY_POINT_GROUP = "structforge.nodes"


class Catalogue:
    """Node types by name.

    Raises: ConfigurationError if two types have one name.
    """

    def __init__(self, types: Iterable[NodeType]) -> None:
        self._types: dict[str, NodeType] = {}
        for node_type in types:
            if node_type.type in self._types:
                raise ConfigurationError(f"two node types are called {node_type.type}: rename the plugin's")
            self._types[node_type.type] = node_type

    def get(self, type_name: str) -> NodeType | None:
        """The type of that name, None if there is none."""
        return self._types.get(type_name)

    def types(self) -> list[NodeType]:
        """All types, by category and name."""
        return sorted(self._types.values(), key=lambda item: (item.category, item.type))

    def nearest(self, type_name: str) -> str | None:
        """The known name that is most like a mistyped one."""
        found = difflib.get_close_matches(type_name, self._types, n=1)
        return found[0] if found else None


@cache
def built_in_catalogue() -> Catalogue:
    """The types of this distribution and of installed plugins; built once for the process."""
    return Catalogue([*_built_in_types(), *_plugin_types()])


def _built_in_types() -> Iterator[NodeType]:
    for package_name in PACKAGES:
        if importlib.util.find_spec(package_name) is None:
            continue
        package = importlib.import_module(package_name)
        for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda item: item.name):
            yield from node_types_in(importlib.import_module(f"{package_name}.{module.name}"))


def _plugin_types() -> Iterator[NodeType]:
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            loaded: object = entry_point.load()
        except Exception as error:
            raise ConfigurationError(f"plugin {entry_point.name} does not load: {error}") from error
        found = [*node_types_in(loaded)] if isinstance(loaded, ModuleType) else [node_type_of(loaded)]
        if not found or None in found:
            raise ConfigurationError(f"plugin {entry_point.name} holds no node type: point it at a module or a @node")
        yield from (node_type for node_type in found if node_type is not None)


def node_types_in(module: ModuleType) -> Iterator[NodeType]:
    """Node types that a module defines itself, in source order."""
    for value in vars(module).values():
        node_type = node_type_of(value)
        if node_type is not None and getattr(value, "__module__", None) == module.__name__:
            yield node_type
