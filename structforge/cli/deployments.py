"""Builds of the worker fleet: which one new executions begin on, and which has ended all of its own."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from temporalio.client import Client

    from engine.activities.clients.deployments import Build
    from engine.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_LOOK_S = 5.0


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        help="Builds of a versioned worker fleet, for upgrades; see docs/upgrades.md.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command("list")(list_builds)
    group.command("set-current")(set_current)
    group.command("drained")(drained)
    app.add_typer(group, name="deployment")


def list_builds(as_json: AsJson = False) -> None:
    """The builds that Temporal knows, newest first, and the build of this installation."""
    from engine.settings import load_settings
    from structforge.cli.tables import print_table
    from worker import build_id_of

    settings = load_settings()
    here, builds = build_id_of(settings.worker), asyncio.run(_builds(settings))
    if as_json:
        listed = [{"build_id": one.build_id, "status": one.status} for one in builds]
        typer.echo(json.dumps({"deployment": _name_of(settings), "here": here, "builds": listed}))
        return
    print_table(
        ["build", "status", ""], [[one.build_id, one.status, "here" * (one.build_id == here)] for one in builds]
    )
    if here not in [one.build_id for one in builds]:
        typer.echo(f"this installation is build {here}, of which no worker has polled yet")


def set_current(
    build: Annotated[str, typer.Argument(help="Build id; left out, that of this installation.")] = "",
) -> None:
    """Let new executions begin on a build, whose workers must be running; those that run stay on theirs."""
    from engine.settings import load_settings
    from worker import build_id_of

    settings = load_settings()
    chosen = build or build_id_of(settings.worker)
    asyncio.run(_make_current(settings, chosen))
    typer.echo(f"new executions begin on {chosen}")


def drained(
    build: Annotated[str, typer.Argument(help="Build id.")],
    wait_s: Annotated[float, typer.Option("--wait", metavar="SECONDS", help="Wait for it so long.")] = 0,
) -> None:
    """Whether every execution of a build has ended, so that its workers may be stopped. Exit code 1 if not."""
    from engine.settings import load_settings

    status = asyncio.run(_await_drained(load_settings(), build, wait_s))
    typer.echo(status)
    if status != "drained":
        raise typer.Exit(1)


def _name_of(settings: Settings) -> str:
    from engine.errors import ConfigurationError

    if settings.worker.deployment_name is None:
        raise ConfigurationError("workers are not versioned: set STRUCTFORGE_WORKER__DEPLOYMENT_NAME")
    return settings.worker.deployment_name


async def _builds(settings: Settings) -> list[Build]:
    from engine.activities.clients.deployments import builds_of

    name = _name_of(settings)
    return await builds_of(await _client(settings), name)


async def _make_current(settings: Settings, build: str) -> None:
    from engine.activities.clients.deployments import make_current

    name = _name_of(settings)
    await make_current(await _client(settings), name, build)


async def _await_drained(settings: Settings, build: str, wait_s: float) -> str:
    from engine.errors import ConfigurationError

    until = time.monotonic() + wait_s
    while True:
        status = next((one.status for one in await _builds(settings) if one.build_id == build), None)
        if status is None:
            raise ConfigurationError(f"Temporal knows no build {build}: structforge deployment list names them")
        if status == "drained" or (left := until - time.monotonic()) <= 0:
            return status
        await asyncio.sleep(min(_LOOK_S, left))


async def _client(settings: Settings) -> Client:
    from engine.activities.clients.objects import ObjectStore
    from engine.activities.clients.temporal import connect, protection_of
    from engine.errors import ConfigurationError

    if settings.temporal.address is None:
        raise ConfigurationError("set TEMPORAL_ADDRESS to the Temporal frontend, host:port")
    objects = ObjectStore.open(settings.objects_url)
    return await connect(settings.temporal.address, settings.temporal.namespace, objects, protection_of(settings))
