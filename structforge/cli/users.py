"""People, as the operator sees them: a password for who has none, and accounts shut out or let in again."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from engine.settings import Settings
    from models.session import Database
    from models.tables import UserAccount

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="E-mail address of the account.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Accounts of people, in the database itself.", no_args_is_help=True, rich_markup_mode=None)
    for command in (set_password, disable, enable):
        group.command()(command)
    app.add_typer(group, name="user")


def set_password(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The first administrator's, by default.")] = "",
) -> None:
    """Set an account's password, which ends its logins. It is asked for, or read from standard input."""
    from api.authentication.passwords import Passwords, check_password
    from api.first_tenant import ADMINISTRATOR
    from engine.settings import load_settings

    settings, address = load_settings(), email or ADMINISTRATOR
    password = _ask_password()
    check_password(password, address, min_length=settings.auth.min_password_length)

    async def change(database: Database, user: UserAccount) -> None:
        from models.repositories.login_sessions import LoginSessions
        from models.repositories.users import Users

        await Users(database).set_password(user.id, await Passwords(1).hash(password))
        await LoginSessions(database).end_all(user.id, "password set by the operator")

    asyncio.run(_with_account(settings, address, change))
    typer.echo(f"{address} has a new password")


def disable(email: Email) -> None:
    """Shut an account out of every tenant; its logins and API keys are refused within seconds."""
    _set_disabled(email, disabled=True)


def enable(email: Email) -> None:
    """Let an account in again."""
    _set_disabled(email, disabled=False)


def _set_disabled(email: str, *, disabled: bool) -> None:
    from engine.settings import load_settings

    async def change(database: Database, user: UserAccount) -> None:
        from models.repositories.login_sessions import LoginSessions
        from models.repositories.users import Users

        await Users(database).set_disabled(user.id, disabled)
        if disabled:
            await LoginSessions(database).end_all(user.id, "disabled")

    asyncio.run(_with_account(load_settings(), email, change))
    typer.echo(f"{email} is {'disabled' if disabled else 'enabled'}")


def _ask_password() -> str:
    if sys.stdin.isatty():
        return typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return sys.stdin.readline().rstrip("\r\n")


async def _with_account(
    settings: Settings, email: str, change: Callable[[Database, UserAccount], Awaitable[None]]
) -> None:
    from engine.errors import NotFound
    from models.repositories.users import Users
    from models.session import Database

    database = await Database.open(_database_url(settings), pool_size=1)
    try:
        user = await Users(database).find(email)
        if user is None:
            raise NotFound(f"no account {email}")
        await change(database, user)
    finally:
        await database.close()


def _database_url(settings: Settings) -> str:
    """The database of the settings, else that of the server that runs on the data folder."""
    from engine.errors import ConfigurationError
    from structforge.devstack.folder import find_running

    if settings.database.url is not None:
        return settings.database.url.get_secret_value()
    running = find_running(settings.data_dir)
    if running is None or running.database_url is None:
        raise ConfigurationError("no server runs here and STRUCTFORGE_DATABASE__URL is not set: structforge up first")
    return running.database_url
