"""`structforge execution logs|export|bulk`: what executions have left behind, and the same command for many of them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from structforge.client import AsyncClient, LogLineReply

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the execution.")]
Level = Literal["debug", "info", "warning", "error"]
Format = Literal["json", "ndjson", "csv"]
Action = Literal["cancel", "pause", "resume", "rerun", "retry"]
Label = Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Only with this metadata; repeatable.")]
Status = Annotated[str | None, typer.Option(help="Only these, such as running,failed.")]
Workflow = Annotated[str | None, typer.Option(metavar="ID", help="Only those of this workflow.")]
Tag = Annotated[str | None, typer.Option(help="Only those of workflows with this tag.")]
_STYLES = {"debug": "dim", "info": "", "warning": "yellow", "error": "bold red"}
_WAIT_S = 20.0
_PAGE = 1000


def register(commands: typer.Typer) -> None:
    commands.command("logs")(logs)
    commands.command("export")(export)
    commands.command("bulk")(bulk)


def logs(
    execution_id: Id,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the execution has ended.")] = False,
    level: Annotated[Level, typer.Option(help="The lowest level shown.")] = "debug",
    node: Annotated[str | None, typer.Option(help="Only this node, by its path.")] = None,
    text: Annotated[str | None, typer.Option(help="Only lines with this in them, in any case.")] = None,
    as_json: Json = False,
) -> None:
    """The log of an execution; with --json one object a line."""
    from structforge.cli.executions import call

    async def show(client: AsyncClient) -> None:
        narrowed = {"level": level, "node": node, "text": text}
        async for line in _lines(client, execution_id, narrowed, follow=follow):
            _print_line(line, as_json=as_json)

    call(show)


def export(
    execution_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="One execution's nodes, or a list.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="Of the file.")] = "json",
    target: Annotated[Path | None, typer.Option("--output", "-o", help="A file in place of stdout.")] = None,
    status: Status = None,
    workflow: Workflow = None,
    tag: Tag = None,
    label: Label = None,
    full: Annotated[bool, typer.Option("--full", help="Large data too.")] = False,
) -> None:
    """Results as a file: the nodes of one execution, or a list of executions."""
    path = "executions/export" if execution_id is None else f"executions/{execution_id}/export"
    given = {"format": form, "status": status, "workflow_id": workflow, "tag": tag, "full": full or None}
    params = {name: value for name, value in given.items() if value is not None} | {"label": label or []}
    asyncio.run(_download(path, params, target))


def bulk(
    action: Annotated[Action, typer.Argument(help="What to do to each of them.")],
    status: Status = None,
    workflow: Workflow = None,
    tag: Tag = None,
    label: Label = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Most executions.")] = 100,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it, only say which they would be.")] = False,
    as_json: Json = False,
) -> None:
    """Do the same to many executions, the oldest first."""
    from structforge.cli.executions import call
    from structforge.cli.tables import clock, print_table
    from structforge.cli.terminal import FAILED, note, print_json
    from structforge.client import FilterRequest

    narrowed = FilterRequest(**_filter(status, workflow, tag, label))
    reply = call(lambda client: client.bulk_executions(action, narrowed, dry_run=not yes, limit=limit))
    if as_json:
        print_json(reply.model_dump(mode="json"))
    elif reply.dry_run:
        print_table(
            ("id", "workflow", "status", "created"),
            [(str(it.id), it.workflow_name, it.status, clock(it.created_at)) for it in reply.first],
        )
        note(f"{reply.matched} executions match; add --yes to {action} up to {limit} of them")
    else:
        rows = [(str(it.id), "done" if it.done else str(it.code), str(it.started or "")) for it in reply.results]
        print_table(("id", "result", "started"), rows)
    if any(not it.done for it in reply.results):
        raise typer.Exit(FAILED)


async def _lines(
    client: AsyncClient, execution_id: str, narrowed: dict[str, Any], *, follow: bool
) -> AsyncGenerator[LogLineReply]:
    after, wait_s = 0, _WAIT_S if follow else 0
    while True:
        page = await client.list_logs(execution_id, after=after, wait_s=wait_s, limit=_PAGE, **narrowed)
        for line in page.items:
            yield line
        if page.ended or (not follow and len(page.items) < _PAGE):
            return
        after = page.next


def _print_line(line: LogLineReply, *, as_json: bool) -> None:
    from rich.text import Text

    from structforge.cli.tables import clock
    from structforge.cli.terminal import out, print_json, printable

    if as_json:
        return print_json(line.model_dump(mode="json"), indent=None)
    place = line.path or ""
    if line.iteration:
        place += f"[{'.'.join(map(str, line.iteration))}]"
    text = Text(f"{clock(line.at)} ", style="dim")
    text.append(f"{line.level:<7} ", style=_STYLES.get(line.level, ""))
    text.append(f"{printable(place)}{': ' if place else ''}", style="cyan")
    text.append(printable(line.message), style="")
    return out().print(text)


def _filter(status: str | None, workflow: str | None, tag: str | None, label: list[str] | None) -> dict[str, Any]:
    """The body's filter. Raises: typer.BadParameter if a label has no =."""
    found: dict[str, Any] = {"workflow_id": workflow, "tag": tag}
    if status is not None:
        found["status"] = [part.strip() for part in status.split(",")]
    pairs = [one.partition("=") for one in label or []]
    if any(not mark for _, mark, _ in pairs):
        raise typer.BadParameter("write NAME=VALUE", param_hint="--label")
    if pairs:
        found["metadata"] = {name: value for name, _, value in pairs}
    return {name: value for name, value in found.items() if value is not None}


async def _download(path: str, params: dict[str, Any], target: Path | None) -> None:
    """Write a file as it comes. Raises: StructForgeError; ConfigurationError if the file cannot be written."""
    import httpx2

    from engine.errors import ConfigurationError
    from engine.settings import load_settings
    from structforge.cli.connection import required_server
    from structforge.client.errors import error_of, unreachable

    server = required_server(load_settings())
    headers = {"Authorization": f"Bearer {server.key}"}
    try:
        async with (
            httpx2.AsyncClient(base_url=server.url, headers=headers, timeout=60, trust_env=False) as http,
            http.stream("GET", f"/api/v1/{path}", params=params) as response,
        ):
            if not response.is_success:
                await response.aread()
                raise error_of(response)
            await _write(response.aiter_bytes(), target)
    except httpx2.HTTPError as error:
        raise unreachable(error) from None
    except OSError as error:
        raise ConfigurationError(f"{target} cannot be written: {error.strerror}") from None


async def _write(chunks: Any, target: Path | None) -> None:
    if target is None:
        async for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return
    with target.open("wb") as file:
        async for chunk in chunks:
            file.write(chunk)
