"""`structforge plugin`: what stands in the plugin folder, and the descriptions of isolated plugins."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import ConfigurationError, NotFound

if TYPE_CHECKING:
    from engine.nodes.plugins.discovery import Plugin
    from engine.nodes.registry import Catalogue

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
commands = typer.Typer(help="Node types that are not built in.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="plugin")


@commands.command("list")
def list_plugins(as_json: Json = False) -> None:
    """All plugins that were found, with their node types and what is wrong with them."""
    from engine.nodes.registry import catalogue_of
    from engine.settings import load_settings
    from structforge.cli.tables import print_table
    from structforge.cli.terminal import print_json

    catalogue = catalogue_of(load_settings())
    if as_json:
        return print_json([_as_dict(plugin) for plugin in catalogue.plugins])
    rows = [
        (item.name, item.version, "own processes" if item.isolated else "worker", item.task_queue or "",
         " ".join(node_type.type for node_type in item.types), item.origin)
        for item in catalogue.plugins
    ]  # fmt: skip
    print_table(("plugin", "version", "runs in", "task queue", "node types", "where"), rows)
    return show_problems(catalogue)


@commands.command("describe")
def describe(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The plugin's name; all if left out.")] = "",
) -> None:
    """Load an isolated plugin in its own environment and write description.json, which the other processes read."""
    from engine.nodes.plugins.discovery import sources_in
    from engine.nodes.plugins.manifest import PluginFault
    from engine.nodes.plugins.refreshing import describe_plugin
    from engine.settings import load_settings
    from structforge.cli.terminal import out

    folder = load_settings().plugins_folder
    sources = [item for item in sources_in(folder) if item.manifest.isolated and name in ("", item.name)]
    if not sources and name:
        raise NotFound(f"there is no isolated plugin {name}", details={"hint": f"the plugin folder is {folder}"})
    for source in sources:
        try:
            types = asyncio.run(describe_plugin(source))
        except PluginFault as fault:
            hint = {"hint": fault.hint} if fault.hint else {}
            raise ConfigurationError(f"plugin {source.name}: {fault.message}", details=hint) from None
        out().print(f"{source.description_path}: {' '.join(types)}")


def show_problems(catalogue: Catalogue) -> None:
    """On stderr, what is wrong with plugins and routes."""
    from structforge.cli.terminal import note

    for plugin in catalogue.plugins:
        for problem in plugin.problems:
            note(f"plugin {plugin.name}: {problem.message}" + (f" ({problem.hint})" if problem.hint else ""))
    for problem in catalogue.route_problems:
        note(f"{problem.message} ({problem.hint})")


def _as_dict(plugin: Plugin) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "version": plugin.version,
        "origin": plugin.origin,
        "isolated": plugin.isolated,
        "task_queue": plugin.task_queue,
        "node_types": [item.type for item in plugin.types],
        "problems": [{"message": item.message, "hint": item.hint, "fatal": item.is_fatal} for item in plugin.problems],
    }
