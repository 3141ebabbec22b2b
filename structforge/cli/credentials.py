"""The keys that wrap stored secrets: made, and rotated."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from engine.settings import Settings


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Keys that wrap the secrets of credentials.", no_args_is_help=True, rich_markup_mode=None)
    group.command("create-key")(create_key)
    group.command("rotate-key")(rotate_key)
    app.add_typer(group, name="credential")


def create_key() -> None:
    """Make the file of encryption keys, if there is none. Every API and worker needs the same."""
    from engine.settings import load_settings
    from models.keyring import ensure_key_file

    path = load_settings().encryption_key_file
    typer.echo(f"made {path}" if ensure_key_file(path) else f"{path} is there already")


def rotate_key(
    keep: Annotated[
        bool, typer.Option("--keep", help="Make no new key: only bring all credentials under the active one.")
    ] = False,
    remove_old: Annotated[
        bool,
        typer.Option(
            "--remove-old", help="Then take the other keys out of the file; backups and sealed histories need them."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a new key the active one, and wrap the data keys of all credentials by it.

    Secrets are not decrypted. It may be broken off at any time and run again with --keep; until it is done the old
    keys still open what they wrap, in every process.
    """
    from engine.settings import load_settings

    report = asyncio.run(_rotate(load_settings(), keep=keep, remove_old=remove_old))
    typer.echo(json.dumps(report) if as_json else _told(report))
    if report["unreadable"]:
        raise typer.Exit(1)


async def _rotate(settings: Settings, *, keep: bool, remove_old: bool) -> dict[str, Any]:
    from engine.errors import ConfigurationError
    from models.keyring import Keys, add_active_key, keep_only_active
    from models.rotation import rewrap_all
    from models.session import Database

    keys = Keys(settings)
    if keys.in_settings and (not keep or remove_old):
        raise ConfigurationError(
            "the keys are in STRUCTFORGE_ENCRYPTION__KEYS: put a new active key there, restart every API and worker, "
            "then run structforge credential rotate-key --keep"
        )
    database = await Database.open(_database_url(settings), pool_size=2)
    try:
        if not keep:
            add_active_key(keys.path, keys.ring())
        report = await rewrap_all(database, keys.ring())
        removed: list[str] = []
        if remove_old and not report.unreadable and not report.remaining:
            removed = keep_only_active(keys.path, keys.ring())
    finally:
        await database.close()
    unreadable = [str(one) for one in report.unreadable]
    return {"active": report.active, "rewrapped": report.rewrapped, "unreadable": unreadable, "removed": removed}


def _database_url(settings: Settings) -> str:
    """The application's database: of the settings, else of the server that runs on the data folder."""
    from engine.errors import ConfigurationError
    from structforge.devstack import find_running

    if settings.database.url is not None:
        return settings.database.url.get_secret_value()
    running = find_running(settings.data_dir)
    if running is None or running.database_url is None:
        raise ConfigurationError("set STRUCTFORGE_DATABASE__URL, or start structforge up on this data folder first")
    return running.database_url


def _told(report: dict[str, Any]) -> str:
    lines = [f"active key: {report['active']}", f"credentials brought under it: {report['rewrapped']}"]
    if report["removed"]:
        lines.append(f"removed keys: {', '.join(report['removed'])}")
    if report["unreadable"]:
        lines.append(f"not readable, left as they are: {', '.join(report['unreadable'])}")
    return "\n".join(lines)
