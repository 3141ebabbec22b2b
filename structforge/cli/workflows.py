"""Documents: check one, draw one, store one."""

from __future__ import annotations

import shutil
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import StructForgeError, ValidationFailed

if TYPE_CHECKING:
    from structforge.cli.connection import Server
    from structforge.client import WorkflowDetail

File = Annotated[Path, typer.Argument(metavar="FILE", help="A YAML or JSON document; - is standard input.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


class Format(StrEnum):
    MERMAID = "mermaid"
    TERMINAL = "terminal"


def register(app: typer.Typer) -> None:
    for command in (validate, graph, apply):
        app.command()(command)


def validate(file: File, as_json: Json = False) -> None:
    """Check a document and print every issue; nothing runs."""
    from engine.settings import load_settings
    from structforge.cli.documents import load_document, shown
    from structforge.cli.terminal import INVALID, out, print_json, show_issues

    try:
        document = load_document(file, load_settings().limits)
    except ValidationFailed as failure:
        if not as_json:
            show_issues(failure.issues, shown(file))
        else:
            print_json({"valid": False, "issues": [issue.as_dict() for issue in failure.issues]})
        raise typer.Exit(INVALID) from None
    except StructForgeError as error:
        if as_json:
            issue = {"code": error.code, "path": "", "message": error.message, "hint": error.details.get("hint", "")}
            print_json({"valid": False, "issues": [{**issue, "severity": "error"}]})
        raise
    if as_json:
        return print_json({"valid": True, "issues": [issue.as_dict() for issue in document.warnings]})
    if document.warnings:
        show_issues(document.warnings, shown(file))
    return out().print(f"{shown(file)}: valid, {_size(len(document.spec.nodes))}")


def graph(
    file: File,
    form: Annotated[Format, typer.Option("--format", help="Boxes for the terminal, or Mermaid.")] = Format.TERMINAL,
) -> None:
    """Draw a document as boxes, or as a Mermaid flowchart for documentation."""
    from engine.settings import load_settings
    from structforge import drawing
    from structforge.cli.documents import load_document
    from structforge.cli.terminal import out

    spec = load_document(file, load_settings().limits).spec
    if form is Format.MERMAID:
        return print(drawing.mermaid(spec), end="")
    width = shutil.get_terminal_size().columns if out().is_terminal else 120
    return out().print(drawing.terminal(spec, width=width))


def apply(file: File, as_json: Json = False) -> None:
    """Store a document on the server: a new workflow, or a new version of the one with its name."""
    import asyncio

    from engine.settings import load_settings
    from structforge.cli.connection import required_server
    from structforge.cli.documents import load_document, shown
    from structforge.cli.terminal import out, print_json, show_issues

    settings = load_settings()
    document = load_document(file, settings.limits)
    if document.warnings:
        show_issues(document.warnings, shown(file))
    server = required_server(settings)

    stored = asyncio.run(_store(server, document.raw))
    if as_json:
        return print_json({"id": str(stored.id), "name": stored.name, "version": stored.version})
    return out().print(f"{stored.name}: version {stored.version} ({stored.id})")


async def _store(server: Server, raw: dict[str, Any]) -> WorkflowDetail:
    from structforge.client import AsyncClient

    async with AsyncClient(server.url, server.key) as client:
        return await client.apply_workflow(raw)


def _size(nodes: int) -> str:
    return "1 node" if nodes == 1 else f"{nodes:,} nodes"
