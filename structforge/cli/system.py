"""The installation itself: what is wrong with it, its settings, its database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, cast

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


def _flat(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(cast("Mapping[str, Any]", value), f"{prefix}{key}.")
        else:
            yield prefix + key, value
