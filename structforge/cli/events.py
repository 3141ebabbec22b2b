"""`structforge event`: tell of what happened, and see what it has started."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
commands = typer.Typer(help="Events, which start the workflows that wait for them.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="event")


@commands.command()
def publish(
    event_type: Annotated[str, typer.Argument(metavar="TYPE", help="Such as order.created.")],
    data: Annotated[str, typer.Option(help="JSON, @FILE with JSON in it, or @- for stdin.")] = "null",
    source: Annotated[str, typer.Option(help="Who tells of it.")] = "cli",
    event_id: Annotated[
        str | None, typer.Option("--id", help="The same event under the same id is published once.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is known what it starts.")] = False,
    as_json: Json = False,
) -> None:
    """Publish an event; print its id."""
    from structforge.cli.terminal import print_json

    told = asyncio.run(_publish(event_type, source, _read(data), event_id, wait=wait))
    if as_json:
        print_json(told)
    elif wait:
        _show(told)
    else:
        print(told["id"])


@commands.command()
def show(event_id: Annotated[str, typer.Argument(metavar="EVENT")], as_json: Json = False) -> None:
    """An event: what it has started, and where a filter failed."""
    from structforge.cli.terminal import print_json

    told = asyncio.run(_fetch(event_id))
    if as_json:
        return print_json(told)
    return _show(told)


def _read(text: str) -> Any:
    """Raises: ValidationFailed for what is no JSON."""
    import orjson

    from engine.errors import Issue, ValidationFailed

    if text == "@-":
        text = sys.stdin.read()
    elif text.startswith("@"):
        text = Path(text[1:]).read_text()
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValidationFailed([Issue("INVALID_VALUE", "data", f"is no JSON: {error}")], "no event") from None


async def _publish(event_type: str, source: str, data: Any, event_id: str | None, *, wait: bool) -> dict[str, Any]:
    from engine.settings import load_settings
    from structforge.cli.connection import required_server
    from structforge.client import AsyncClient

    server = required_server(load_settings())
    async with AsyncClient(server.url, server.key) as client:
        reply = await client.publish_event(event_type, source, data=data, id=event_id)
        if not wait:
            return reply.model_dump(mode="json")
        while True:
            told = await client.get_event(reply.id)
            if told.state == "settled":
                return told.model_dump(mode="json")
            await asyncio.sleep(0.2)


async def _fetch(event_id: str) -> dict[str, Any]:
    from engine.settings import load_settings
    from structforge.cli.connection import required_server
    from structforge.client import AsyncClient

    server = required_server(load_settings())
    async with AsyncClient(server.url, server.key) as client:
        return (await client.get_event(event_id)).model_dump(mode="json")


def _show(told: dict[str, Any]) -> None:
    from structforge.cli.tables import print_table
    from structforge.cli.terminal import out

    out().print(f"{told['id']}  {told['type']}  {told['state']}", markup=False, highlight=False)
    if told["note"]:
        out().print(told["note"], markup=False, highlight=False)
    rows = [
        (start["workflow_id"], start["node"], start["execution_id"] or "-", (start["error"] or {}).get("message", ""))
        for start in told["starts"]
    ]
    print_table(("workflow", "trigger", "execution", "error"), rows)
