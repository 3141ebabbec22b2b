"""Finding plugins: in the plugin folder and among the installed distributions.

One bad plugin never stops a process: what is wrong with it is kept as a problem and shown by `structforge doctor`,
`structforge node list` and the validation of documents that use its types.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from engine.nodes.base import node_type_of
from engine.nodes.node_type import NodeType
from engine.nodes.plugins.compatibility import check_requirement, requirement_of
from engine.nodes.plugins.described_type import described_types
from engine.nodes.plugins.description import is_current, read_description
from engine.nodes.plugins.guard import guarded
from engine.nodes.plugins.loading import load_types, node_types_in
from engine.nodes.plugins.manifest import MANIFEST, PluginFault, PluginSource, read_manifest

ENTRY_POINT_GROUP = "structforge.nodes"


@dataclass(frozen=True, slots=True)
class PluginProblem:
    """What is wrong with a plugin; `is_fatal` says that its types are not there because of it."""

    message: str
    hint: str = ""
    is_fatal: bool = True


@dataclass(slots=True)
class Plugin:
    """A plugin that was found. `promised` are type names of its manifest, known even if its code cannot be used."""

    name: str
    version: str = ""
    origin: str = ""
    isolated: bool = False
    task_queue: str | None = None
    types: list[NodeType] = field(default_factory=list[NodeType])
    promised: tuple[str, ...] = ()
    problems: list[PluginProblem] = field(default_factory=list[PluginProblem])


def find_plugins(folder: Path) -> list[Plugin]:
    """Plugins of the folder, then those of installed distributions, each with its types or its problems."""
    in_folder = [_open_place(place) for place in plugin_places(folder)]
    return [*_without_namesakes(in_folder), *(_installed(entry) for entry in entry_points(group=ENTRY_POINT_GROUP))]


def sources_in(folder: Path) -> list[PluginSource]:
    """Manifests of the folder that can be read; nothing of their code is imported."""
    found: list[PluginSource] = []
    for place in plugin_places(folder):
        try:
            found.append(read_manifest(place))
        except PluginFault:
            continue  # `find_plugins` tells
    return found


def plugin_places(folder: Path) -> list[Path]:
    """Paths of the manifests that stand, or should stand, in a plugin folder."""
    if not folder.is_dir():
        return []
    places: dict[Path, None] = {}
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith((".", "_")):
            continue
        if entry.is_dir():
            places[entry / MANIFEST] = None
        elif entry.suffix in (".py", ".toml"):
            places[entry.with_suffix(".toml")] = None
    return list(places)


def open_plugin(source: PluginSource) -> Plugin:
    """A plugin's types: from its description if it is isolated, else from its code, which is imported."""
    manifest = source.manifest
    plugin = Plugin(
        manifest.name, manifest.version, str(source.folder), manifest.isolated, manifest.task_queue,
        promised=manifest.node_types,
    )  # fmt: skip
    try:
        check_requirement(manifest.requires_structforge)
        types = _described(source, plugin) if manifest.isolated else load_types(source)
    except PluginFault as fault:
        plugin.problems.append(PluginProblem(fault.message, fault.hint))
        return plugin
    plugin.types = [replace(guarded(item), task_queue=item.task_queue or manifest.task_queue) for item in types]
    return plugin


def _open_place(place: Path) -> Plugin:
    name = place.parent.name if place.name == MANIFEST else place.stem
    if not place.exists():
        problem = PluginProblem(f"there is no {place.name}", f"write {place}, or take {name} out of the plugin folder")
        return Plugin(name, origin=str(place.parent), problems=[problem])
    try:
        return open_plugin(read_manifest(place))
    except PluginFault as fault:
        return Plugin(name, origin=str(place.parent), problems=[PluginProblem(fault.message, fault.hint)])
    except OSError as error:
        return Plugin(name, origin=str(place.parent), problems=[PluginProblem(f"it cannot be read: {error}")])


def _described(source: PluginSource, plugin: Plugin) -> list[NodeType]:
    types = described_types(source, read_description(source))
    if not is_current(source):
        hint = f"run structforge plugin describe {source.name}"
        problem = PluginProblem("its code is newer than its description", hint, is_fatal=False)
        plugin.problems.append(problem)
    return [*types]


def _without_namesakes(plugins: list[Plugin]) -> Iterator[Plugin]:
    first: dict[str, Plugin] = {}
    for plugin in plugins:
        other = first.setdefault(plugin.name, plugin)
        if other is not plugin and plugin.types:
            plugin.types = []
            plugin.problems.append(PluginProblem(f"another plugin has its name: {other.origin}", "rename one of them"))
        yield plugin


def _installed(entry: EntryPoint) -> Plugin:
    distribution = entry.dist
    plugin = Plugin(entry.name, origin=entry.value)
    try:
        if distribution is not None:
            plugin.version = distribution.version
            plugin.origin = f"{distribution.name} ({entry.value})"
            check_requirement(requirement_of(distribution))
        plugin.types = [guarded(item) for item in _types_of(entry)]
    except PluginFault as fault:
        plugin.problems.append(PluginProblem(fault.message, fault.hint))
    return plugin


def _types_of(entry: EntryPoint) -> list[NodeType]:
    try:
        loaded: object = entry.load()
    except (Exception, SystemExit) as error:
        raise PluginFault(f"it does not load: {type(error).__name__}: {error}", "mend or uninstall it") from error
    found = [*node_types_in(loaded)] if isinstance(loaded, ModuleType) else [node_type_of(loaded)]
    types = [node_type for node_type in found if node_type is not None]
    if not types:
        raise PluginFault("it holds no node type", "point the entry point at a module or at a function with @node")
    return types
