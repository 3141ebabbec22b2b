"""Importing the code of a plugin and finding its node types."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from engine.nodes.base import node_type_of
from engine.nodes.node_type import NodeType
from engine.nodes.plugins.manifest import PluginFault, PluginSource, check_type_name


def node_types_in(module: ModuleType) -> Iterator[NodeType]:
    """Node types that a module defines itself, in source order."""
    for value in vars(module).values():
        node_type = node_type_of(value)
        if node_type is not None and getattr(value, "__module__", None) == module.__name__:
            yield node_type


def load_types(source: PluginSource) -> list[NodeType]:
    """Import the plugin's modules into this process and give its node types.

    The folder becomes a package, so that its modules import each other as `from .client import ...`.
    Raises: PluginFault if a module does not load, or the types are not those that the manifest promises.
    """
    try:
        modules = _import(source)
    except (Exception, SystemExit) as error:
        message = f"its code does not load: {type(error).__name__}: {error}"
        raise PluginFault(message, f"see {source.folder}; what it imports must be installed here") from error
    types = [node_type for module in modules for node_type in node_types_in(module)]
    _check_types(source, types)
    return types


def _check_types(source: PluginSource, types: list[NodeType]) -> None:
    found, promised = {item.type for item in types}, set(source.manifest.node_types)
    if not found:
        raise PluginFault("it holds no node type", "decorate a function with @node")
    if len(found) < len(types):
        raise PluginFault("two of its node types have one name", "rename one of them")
    for type_name in sorted(found):
        check_type_name(source.manifest, type_name)
    if promised and found != promised:
        names = ", ".join(sorted(found ^ promised))
        raise PluginFault(f"the manifest and the code differ in node types: {names}", "mend node_types in the manifest")


def _import(source: PluginSource) -> list[ModuleType]:
    package = f"structforge_plugin_{source.name}"
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]  # another plugin of this name, or an older state of it
    importlib.invalidate_caches()
    _open_package(package, source.folder)
    return [importlib.import_module(_module_name(name, package, source.folder)) for name in source.modules()]


def _open_package(name: str, folder: Path) -> None:
    """A package over the folder; its `__init__.py` is run if it has one."""
    start = folder / "__init__.py"
    spec = importlib.util.spec_from_file_location(name, start, submodule_search_locations=[str(folder)])
    assert spec is not None
    if not start.exists():
        spec.loader = None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    module.__path__ = [str(folder)]
    if spec.loader is not None:
        spec.loader.exec_module(module)


def _module_name(name: str, package: str, folder: Path) -> str:
    place = folder / name.removesuffix(".py")
    beside = place.with_name(place.name + ".py").exists() or (place / "__init__.py").exists()
    return f"{package}.{place.name}" if beside else name
