"""Workflows on the server: listed, compared, published, gone back to, exported and imported."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from structforge.client import AsyncClient

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Name = Annotated[str, typer.Argument(metavar="WORKFLOW", help="Name or id of the workflow.")]
Number = Annotated[int, typer.Argument(metavar="VERSION", min=1, help="1, 2, ...")]
Result = TypeVar("Result")
commands = typer.Typer(help="Workflows on the server and their versions.", no_args_is_help=True)


class Form(StrEnum):
    YAML = "yaml"
    JSON = "json"
    ZIP = "zip"


class OnConflict(StrEnum):
    FAIL = "fail"
    RENAME = "rename"
    VERSION = "version"


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="workflow")
    app.command("export")(export)
    app.command("import")(import_documents)


@commands.command("list")
def list_workflows(
    search: Annotated[str | None, typer.Option(help="Part of name, description or a tag.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="With all of these.")] = None,
    status: Annotated[str | None, typer.Option(help="draft, active, paused, archived, or any.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    as_json: Json = False,
) -> None:
    """Workflows, newest first; archived ones only on demand."""
    from structforge.cli.tables import clock, print_table
    from structforge.cli.terminal import print_json

    page = _call(lambda client: client.list_workflows(search=search, tag=tag, status=status, limit=limit))
    if as_json:
        return print_json([item.model_dump(mode="json") for item in page.items])
    rows = [
        [item.name, item.status, f"{item.latest_version}", f"{item.published_version or '-'}", clock(item.updated_at)]
        for item in page.items
    ]
    return print_table(["name", "status", "latest", "published", "changed"], rows)


@commands.command()
def versions(workflow: Name, as_json: Json = False) -> None:
    """The latest versions of a workflow, newest first."""
    from structforge.cli.tables import clock, print_table
    from structforge.cli.terminal import print_json

    async def fetch(client: AsyncClient) -> Any:
        return await client.list_versions(await _id_of(client, workflow), limit=100)

    items = _call(fetch).items
    if as_json:
        return print_json([item.model_dump(mode="json") for item in items])
    rows = [
        [f"{item.number}", "published" if item.published else "", item.author, item.note, clock(item.created_at)]
        for item in items
    ]
    return print_table(["version", "", "author", "note", "saved"], rows)


@commands.command()
def hooks(workflow: Name, as_json: Json = False) -> None:
    """Where the webhooks of a workflow are called, and what a call must carry."""
    from structforge.cli.tables import print_table
    from structforge.cli.terminal import print_json

    async def fetch(client: AsyncClient) -> Any:
        return await client.list_hooks(await _id_of(client, workflow))

    items = _call(fetch).items
    if as_json:
        return print_json([item.model_dump(mode="json") for item in items])
    rows = [[item.method, item.url, "live" if item.live else "", item.auth, item.credential or ""] for item in items]
    print_table(["method", "address", "", "proof", "credential"], rows)
    for auth, proof in {item.auth: item.proof for item in items}.items():
        print(f"{auth}: a call must carry {proof}")
    return None


@commands.command()
def diff(workflow: Name, before: Number, after: Number) -> None:
    """What one version changes of another, as JSON."""
    from structforge.cli.terminal import print_json

    async def fetch(client: AsyncClient) -> Any:
        return await client.diff_versions(await _id_of(client, workflow), after, against=before)

    print_json(_call(fetch).model_dump(mode="json"))


@commands.command()
def publish(workflow: Name, version: Number) -> None:
    """Make a version the one that starts and triggers run."""
    from structforge.cli.terminal import out

    async def send(client: AsyncClient) -> Any:
        return await client.publish_version(await _id_of(client, workflow), version)

    out().print(f"{_call(send).name}: version {version} is published")


@commands.command()
def rollback(workflow: Name, version: Number) -> None:
    """Save the document of an old version as the next version, and publish it."""
    from structforge.cli.terminal import out

    async def send(client: AsyncClient) -> Any:
        return await client.roll_back(await _id_of(client, workflow), version)

    saved = _call(send)
    out().print(f"{saved.name}: version {saved.version} is version {version} again")


def export(
    workflow: Annotated[list[str] | None, typer.Argument(metavar="[WORKFLOW]...", help="All if none is named.")] = None,
    form: Annotated[Form, typer.Option("--format", help="zip keeps folders and tags.")] = Form.YAML,
    tag: Annotated[list[str] | None, typer.Option(help="With all of these.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; else standard output.")] = None,
) -> None:
    """Write workflows as documents. Credentials leave as names alone."""

    async def fetch(client: AsyncClient) -> bytes:
        ids = [await _id_of(client, name) for name in workflow or ()]
        return await client.export_workflows(format=form.value, workflow_id=[*ids] or None, tag=tag)

    content = _call(fetch)
    if output is None:
        sys.stdout.buffer.write(content)
        return
    output.write_bytes(content)


def import_documents(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML, JSON or ZIP; - is standard input.")],
    on_conflict: Annotated[OnConflict, typer.Option(help="What to do about names that are taken.")] = OnConflict.FAIL,
    dry_run: Annotated[bool, typer.Option(help="Only say what would be done.")] = False,
    publish: Annotated[bool, typer.Option(help="Else new workflows are drafts, which start nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Store documents on the server: all of them, or none if one is invalid or its name is taken."""
    from structforge.cli.documents import read_file
    from structforge.cli.terminal import INVALID, out, print_json

    data = read_file(file)
    body: str | bytes = data if data[:2] == b"PK" else data.decode("utf-8", "replace")
    report = _call(
        lambda client: client.import_workflows(body, on_conflict=on_conflict.value, dry_run=dry_run, publish=publish)
    )
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        for item in report.items:
            out().print(f"{item.source}: {item.saved_as or item.name or '?'}: {item.outcome}", markup=False)
            for issue in item.issues:
                where = issue.path or "the document"
                out().print(f"  {issue.severity} {issue.code} at {where}: {issue.message}", markup=False)
    if not (report.stored or dry_run):
        raise typer.Exit(INVALID)


async def _id_of(client: AsyncClient, name: str) -> str:
    """The id of the workflow that is called so; an id stands for itself. Raises: NotFound."""
    from uuid import UUID

    from engine.errors import NotFound

    try:
        return str(UUID(name))
    except ValueError:
        pass
    async for workflow in client.list_workflows.all(search=name, status="any", limit=500):
        if workflow.name == name:
            return str(workflow.id)
    raise NotFound(f"no workflow is called {name!r}")


def _call(use: Callable[[AsyncClient], Awaitable[Result]]) -> Result:
    from engine.settings import load_settings
    from structforge.cli.connection import required_server
    from structforge.client import AsyncClient

    server = required_server(load_settings())

    async def run() -> Result:
        async with AsyncClient(server.url, server.key) as client:
            return await use(client)

    return asyncio.run(run())
