"""`structforge node`: the catalogue of node types, as this installation has it."""

from __future__ import annotations

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
    from engine.nodes.registry import built_in_catalogue
    from structforge.cli.tables import print_table
    from structforge.cli.terminal import print_json

    types = [item for item in built_in_catalogue().types() if category in (None, item.category)]
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

    from engine.nodes.registry import built_in_catalogue
    from structforge.cli.terminal import out, print_json

    catalogue = built_in_catalogue()
    found = catalogue.get(type_name)
    if found is None:
        near = catalogue.nearest(type_name)
        hint = f"did you mean {near}?" if near else "structforge node list shows all"
        raise NotFound(f"there is no node type {type_name}", details={"hint": hint})
    if as_json:
        return print_json(found.as_dict())
    return out().print(Markdown(found.documentation), soft_wrap=False)


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).partition(". ")[0].rstrip(".")
