"""The catalogue of node types: the built-in ones, found by looking into the node packages, and those of plugins.

Nothing central lists them. What is wrong with a plugin never stops a process; the catalogue tells it to whoever asks.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from engine.errors import ConfigurationError
from engine.nodes.node_type import NodeType
from engine.nodes.plugins.discovery import Plugin, PluginProblem, find_plugins
from engine.nodes.plugins.loading import node_types_in
from engine.settings import Settings

__all__ = ["PACKAGES", "Catalogue", "built_in_catalogue", "catalogue_of", "node_types_in"]

PACKAGES = tuple(f"engine.nodes.{name}" for name in ("trigger", "data", "control", "integration", "tool", "ai"))
_ROUTABLE = ("io", "local")


class Catalogue:
    """Node types by name. `plugins` are those that were found, their problems included; `routes` tells of queues.

    Raises: ConfigurationError if two of `types` have one name; for a plugin's that is a problem of the plugin.
    """

    def __init__(
        self, types: Iterable[NodeType], plugins: Sequence[Plugin] = (), routes: Mapping[str, str] | None = None
    ) -> None:
        self._types: dict[str, NodeType] = {}
        self.plugins = list(plugins)
        self.route_problems: list[PluginProblem] = []
        for node_type in types:
            if node_type.type in self._types:
                raise ConfigurationError(f"two node types are called {node_type.type}: rename one of them")
            self._types[node_type.type] = node_type
        for plugin in self.plugins:
            self._add(plugin)
        self._route(routes or {})

    def _add(self, plugin: Plugin) -> None:
        for node_type in plugin.types:
            if node_type.type in self._types:
                message = f"there is another node type called {node_type.type}"
                plugin.problems.append(PluginProblem(message, "rename the plugin's", is_fatal=False))
            else:
                self._types[node_type.type] = node_type

    def _route(self, routes: Mapping[str, str]) -> None:
        """Give types a task queue by their category or, which is stronger, by their name."""
        categories = {item.category for item in self._types.values()}
        for name in sorted(routes, key=lambda name: name not in categories):
            chosen = [item for item in self._types.values() if _is_routed(item, name)]
            for item in chosen:
                self._types[item.type] = replace(item, task_queue=routes[name])
            if not chosen:
                message = f"a route names {name}, which is no node type or category that workers run"
                self.route_problems.append(PluginProblem(message, "mend STRUCTFORGE_WORKER__ROUTES"))

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

    def absence(self, type_name: str) -> tuple[str, str] | None:
        """Why a type that one could expect is not there, and how to mend it; None if nothing is known of it."""
        prefix = type_name.partition(".")[0]
        for plugin in self.plugins:
            if type_name in plugin.promised or ("." in type_name and prefix == plugin.name):
                return _absence_from(plugin, type_name)
        if "." in type_name:
            hint = f"install the plugin {prefix} into the plugin folder; structforge plugin list shows what is there"
            return f"it belongs to the plugin {prefix}, which is not installed", hint
        return None


def catalogue_of(settings: Settings) -> Catalogue:
    """The built-in types and those of plugins, with the task queues that the settings give them.

    Plugins are read at the first call with the same settings of a process.
    """
    routes = tuple(sorted(settings.worker.routes.items()))
    return _catalogue(settings.plugins_folder, routes)


@cache
def _catalogue(folder: Path, routes: tuple[tuple[str, str], ...]) -> Catalogue:
    return Catalogue(_built_in_types(), find_plugins(folder), dict(routes))


@cache
def built_in_catalogue() -> Catalogue:
    """The types of this distribution alone; built once for the process."""
    return Catalogue(_built_in_types())


def _absence_from(plugin: Plugin, type_name: str) -> tuple[str, str]:
    problem = next((problem for problem in plugin.problems if problem.is_fatal), None)
    if problem is None:
        found = ", ".join(item.type for item in plugin.types)
        return f"the plugin {plugin.name} {plugin.version} has no such type", f"it has {found}"
    version = f" {plugin.version}" if plugin.version else ""
    return f"the plugin {plugin.name}{version} cannot be used: {problem.message}", problem.hint


def _is_routed(item: NodeType, name: str) -> bool:
    """A category means its I/O types; a local type leaves its region only if it is named itself."""
    return (item.type == name and item.kind in _ROUTABLE) or (item.category == name and item.kind == "io")


def _built_in_types() -> Iterator[NodeType]:
    for package_name in PACKAGES:
        if importlib.util.find_spec(package_name) is None:
            continue
        package = importlib.import_module(package_name)
        for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda item: item.name):
            yield from node_types_in(importlib.import_module(f"{package_name}.{module.name}"))
