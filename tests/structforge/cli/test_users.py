from __future__ import annotations

import asyncio
import io
import sys
from uuid import uuid4

import pytest

from api.authentication.passwords import Passwords
from models.repositories.users import Users
from models.session import Database
from models.tables import UserAccount
from structforge.cli.main import run
from tests.models.fixtures import postgres
from tests.models.server import PostgresServer

__all__ = ["postgres"]


@pytest.fixture
def url(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> str:
    address = postgres.url("structforge_app", "structforge")
    monkeypatch.setenv("STRUCTFORGE_DATABASE__URL", address)
    return address


async def _account(url: str, email: str, *, make: bool = False) -> UserAccount:
    database = await Database.open(url, pool_size=1)
    if make:
        await Users(database).ensure(email)
    found = await Users(database).find(email)
    await database.close()
    assert found is not None
    return found


def test_a_password_is_read_from_standard_input_and_set(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    email = f"{uuid4().hex}@people.test"
    asyncio.run(_account(url, email, make=True))
    monkeypatch.setattr(sys, "stdin", io.StringIO("a long walk by the sea\n"))

    assert run(["user", "set-password", email]) == 0

    hashed = asyncio.run(_account(url, email)).password_hash
    assert asyncio.run(Passwords(1).verify("a long walk by the sea", hashed))[0]
    assert "sea" not in capsys.readouterr().out


def test_a_weak_password_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    email = f"{uuid4().hex}@people.test"
    asyncio.run(_account(url, email, make=True))
    monkeypatch.setattr(sys, "stdin", io.StringIO("password1234\n"))
    assert run(["user", "set-password", email]) == 2
    assert asyncio.run(_account(url, email)).password_hash is None


def test_an_account_is_disabled_and_enabled(url: str) -> None:
    email = f"{uuid4().hex}@people.test"
    asyncio.run(_account(url, email, make=True))
    assert run(["user", "disable", email]) == 0
    assert asyncio.run(_account(url, email)).disabled_at is not None
    assert run(["user", "enable", email]) == 0
    assert asyncio.run(_account(url, email)).disabled_at is None


def test_an_account_that_is_not_there_is_named(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["user", "disable", "nobody@people.test"]) == 1
    assert "nobody@people.test" in capsys.readouterr().err
