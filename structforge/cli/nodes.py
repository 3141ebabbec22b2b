"""`structforge node`: the catalogue of node types, as this installation has it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.errors import NotFound

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
commands = typer.Typer(help="The node types that documents can use.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="node")


@commands.command("list")
def list_types(
    category: Annotated[str | None, typer.Option(help="Only this category, such as data.")] = None,
    as_json: Json = False,
) -> None:
    """All node types with what they do."""
    from engine.nodes.registry import catalogue_of
    from engine.settings import load_settings
    from structforge.cli.plugins import show_problems
    from structforge.cli.tables import print_table
    from structforge.cli.terminal import print_json

    catalogue = catalogue_of(load_settings())
    types = [item for item in catalogue.types() if category in (None, item.category)]
    show_problems(catalogue)
    if as_json:
        return print_json([item.as_dict() for item in types])
    rows = [
        (item.type, item.category, item.kind, " ".join(item.ports) if item.ports_of is None else "by parameters",
         _first_sentence(item.description))
        for item in types
    ]  # fmt: skip
    return print_table(("type", "category", "kind", "ports", "what it does"), rows)


@commands.command("show")
def show_type(type_name: Annotated[str, typer.Argument(metavar="TYPE")], as_json: Json = False) -> None:
    """Parameters, ports, output and examples of one node type."""
    from rich.markdown import Markdown

    from engine.nodes.registry import catalogue_of
    from engine.settings import load_settings
    from structforge.cli.terminal import out, print_json

    catalogue = catalogue_of(load_settings())
    found = catalogue.get(type_name)
    if found is None:
        absence = catalogue.absence(type_name)
        if absence is not None:
            raise NotFound(f"{type_name} is not available: {absence[0]}", details={"hint": absence[1]})
        near = catalogue.nearest(type_name)
        hint = f"did you mean {near}?" if near else "structforge node list shows all"
        raise NotFound(f"there is no node type {type_name}", details={"hint": hint})
    if as_json:
        return print_json(found.as_dict())
    return out().print(Markdown(found.documentation), soft_wrap=False)


@commands.command("new")
def new_type(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as acme, or acme.greet for a type of that name.")],
    category: Annotated[str, typer.Option(help="Where editors show it.")] = "data",
    folder: Annotated[Path | None, typer.Option(help="By default the plugin folder.")] = None,
    isolated: Annotated[bool, typer.Option("--isolated", help="Run it in processes of its own.")] = False,
) -> None:
    """Write a plugin with a node type of your own, and a test of it that passes."""
    from engine.settings import load_settings
    from structforge.cli.terminal import note, out
    from structforge.scaffolding.plugin import scaffold

    written = scaffold(name, category=category, folder=folder or load_settings().plugins_folder, isolated=isolated)
    for path in written.files:
        out().print(str(path))
    note(written.next_steps)


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).partition(". ")[0].rstrip(".")
