"""The installation itself: what is wrong with it, its settings, its database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, cast
from uuid import UUID

import typer

from engine.errors import ConfigurationError

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
config_commands = typer.Typer(help="The settings.", no_args_is_help=True)
database_commands = typer.Typer(help="The database.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.command()(doctor)
    app.add_typer(config_commands, name="config")
    app.add_typer(database_commands, name="db")


def doctor(as_json: Json = False) -> None:
    """Check this machine, the settings and the servers; each finding with its remedy."""
    from dataclasses import asdict

    from rich.text import Text

    from engine.settings import load_settings
    from structforge.cli.terminal import FAILED, out, print_json
    from structforge.doctor import diagnose

    checks = asyncio.run(diagnose(load_settings()))
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        widest = max(len(check.name) for check in checks)
        for check in checks:
            line = Text("✓ " if check.ok else "✗ ", style="green" if check.ok else "bold red")
            line.append(f"{check.name:<{widest}}  {check.detail}", style="default not bold")
            line.append(f"\n  {'':<{widest}}  → {check.hint}" if check.hint else "", style="yellow not bold")
            out().print(line)
    if not all(check.ok for check in checks):
        raise typer.Exit(FAILED)


@config_commands.command("view")
def view(as_json: Json = False) -> None:
    """The settings in effect, defaults filled in and secrets hidden."""
    from engine.settings import load_settings
    from structforge.cli.terminal import print_json

    settings = load_settings().redacted()
    if as_json:
        return print_json(settings)
    for name, value in _flat(settings, ""):
        print(f"{name} = {'' if value is None else value}")
    return None


@database_commands.command("upgrade")
def upgrade() -> None:
    """Bring the schema of an external database to this version; an embedded one is upgraded as it starts."""
    from engine.settings import load_settings
    from models.migrations import upgrade as migrate
    from structforge.cli.terminal import out

    settings = load_settings()
    url = settings.database.owner_url or settings.database.url
    if url is None:
        hint = "set STRUCTFORGE_DATABASE__OWNER_URL; the embedded database is upgraded by structforge up"
        raise ConfigurationError("no external database is set", details={"hint": hint})
    applied = asyncio.run(migrate(url.get_secret_value()))
    out().print(f"applied {', '.join(applied)}" if applied else "the database is at the newest revision")


@database_commands.command("partition-tenant")
def partition(
    tenant: Annotated[UUID, typer.Argument(help="Id of the tenant.")],
    as_json: Json = False,
) -> None:
    """Give a large tenant partitions of its own, while it is at work; run it again if it was broken off."""
    from dataclasses import asdict

    from engine.settings import load_settings
    from models.tenant_partitions import partition_tenant
    from structforge.cli.terminal import note, out, print_json

    url = load_settings().database.owner_url
    if url is None:
        hint = "set STRUCTFORGE_DATABASE__OWNER_URL; only the owner makes partitions"
        raise ConfigurationError("the owner of the database is not set", details={"hint": hint})
    moved = asyncio.run(
        partition_tenant(url.get_secret_value(), tenant, told=lambda table, rows: note(f"{table}: {rows} rows copied"))
    )
    if as_json:
        return print_json([asdict(one) for one in moved])
    for one in moved:
        out().print(f"{one.table}: {one.rows} rows{', was there already' if one.was_there else ''}")
    return None


@database_commands.command("upkeep")
def upkeep(as_json: Json = False) -> None:
    """What the reconciler has repaired, and what retention and the sweeper have made and removed, by kind."""
    from engine.settings import load_settings
    from structforge.cli.terminal import out, print_json

    url = load_settings().database.url
    if url is None:
        hint = "set STRUCTFORGE_DATABASE__URL to the database of the installation"
        raise ConfigurationError("no external database is set", details={"hint": hint})
    rows = asyncio.run(_upkeep_counts(url.get_secret_value()))
    if as_json:
        return print_json(rows)
    for row in rows:
        out().print(f"{row['kind']}: {row['total']}, last at {row['last_at']}")
    return None


async def _upkeep_counts(url: str) -> list[dict[str, Any]]:
    from models.repositories.upkeep_counts import UpkeepCounts
    from models.session import Database

    database = await Database.open(url, pool_size=1)
    try:
        rows = await UpkeepCounts(database).list()
    finally:
        await database.close()
    return [{"kind": row.kind, "total": row.total, "last_at": row.last_at and row.last_at.isoformat()} for row in rows]


def _flat(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(cast("Mapping[str, Any]", value), f"{prefix}{key}.")
        else:
            yield prefix + key, value
