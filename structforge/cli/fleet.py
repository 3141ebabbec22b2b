"""Processes of an installation: whether the one beside this command is ready; who serves which task queue."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import SystemFault

if TYPE_CHECKING:
    from engine.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
commands = typer.Typer(help="Workers and task queues.", no_args_is_help=True)
PATIENCE_S = 5.0


def register(app: typer.Typer) -> None:
    app.command()(health)
    app.add_typer(commands, name="system")


def health(
    live: Annotated[bool, typer.Option("--live", help="Ask only whether the process lives.")] = False,
) -> None:
    """Ask the API, worker or scheduler with these settings on this machine whether it is ready; exit code 1 if not.

    It asks at STRUCTFORGE_HEALTH__PORT, or without that at the API's port. For health checks of containers.
    """
    from engine.settings import load_settings

    status, text = _ask(load_settings(), "/healthz" if live else "/readyz")
    print(text)
    if status != 200:
        raise typer.Exit(1)


def _ask(settings: Settings, path: str) -> tuple[int, str]:
    """Status and body. By the standard library: a health check runs often, and starting it is all that it costs.

    Raises: SystemFault if nobody answers.
    """
    import urllib.error
    import urllib.request

    url, context = _place(settings)
    handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
    try:
        with urllib.request.build_opener(*handlers).open(url + path, timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()
    except OSError as error:
        raise SystemFault(f"nobody answers at {url}: {error}") from None


def _place(settings: Settings) -> tuple[str, Any]:
    own = settings.health
    if own.port:
        host = "127.0.0.1" if own.host in {"0.0.0.0", "::"} else own.host  # noqa: S104
        return f"http://{host}:{own.port}", None
    if settings.api.tls_cert is None:
        return settings.api.url, None
    from engine.activities.clients.tls import context_for_own_api

    return settings.api.url, context_for_own_api(settings.api)


@commands.command("workers")
def list_workers(as_json: Json = False) -> None:
    """Workers that asked for work within five minutes, and the task queues that they serve."""
    from structforge.cli.tables import clock, print_table
    from structforge.cli.terminal import print_json

    found = asyncio.run(_fetch("list_workers"))
    if as_json:
        return print_json(found)
    rows = [
        (one["worker"], clock(one["last_seen_at"]), one["build_id"] or "-", ", ".join(_served(one["queues"])))
        for one in found
    ]
    return print_table(("worker", "last seen", "build", "serves"), rows)


def _served(queues: list[dict[str, str]]) -> list[str]:
    """Names of queues; one whose steps of executions are served too is marked."""
    whole = {one["queue"] for one in queues if one["kind"] == "workflow"}
    names = dict.fromkeys(one["queue"] for one in queues)
    return [f"{name} (executions)" if name in whole else name for name in names]


@commands.command("queues")
def list_queues(as_json: Json = False) -> None:
    """Task queues: what waits in them, for how long, and how many workers ask for it."""
    from structforge.cli.tables import print_table
    from structforge.cli.terminal import print_json

    found = asyncio.run(_fetch("list_queues"))
    if as_json:
        return print_json(found)
    titles = ("queue", "kind", "waiting", "oldest", "in/s", "out/s", "workers")
    return print_table(titles, [_row(one, kind) for one in found for kind in _kinds(one)])


def _kinds(queue: dict[str, Any]) -> tuple[str, ...]:
    return ("workflow", "activity") if queue["executions"] else ("activity",)


def _row(queue: dict[str, Any], kind: str) -> tuple[str, ...]:
    side = queue[kind]
    rates = (f"{side['added_per_s']:.1f}", f"{side['taken_per_s']:.1f}")
    return (queue["queue"], kind, str(side["waiting"]), f"{side['oldest_wait_s']:.1f} s", *rates, str(side["workers"]))


async def _fetch(operation: str) -> list[dict[str, Any]]:
    from engine.settings import load_settings
    from structforge.cli.connection import required_server
    from structforge.client import AsyncClient

    server = required_server(load_settings())
    async with AsyncClient(server.url, server.key) as client:
        return [one.model_dump(mode="json") for one in await getattr(client, operation)()]
