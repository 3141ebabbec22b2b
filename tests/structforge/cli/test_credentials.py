"""The keys that wrap secrets, made and rotated from the command line."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from uuid import uuid4

import pytest

from engine.settings import load_settings
from models.keyring import Keys
from models.repositories.credentials import Credentials, NewCredential, binding_of, sealed_of
from models.sealing import Binding, Keyring
from models.session import Database
from models.tables import Credential
from models.tenancy import TenantId, mint_tenant
from tests.models.fixtures import postgres
from tests.models.server import PostgresServer
from tests.structforge.cli.conftest import Cli

__all__ = ["postgres"]


@pytest.fixture
def url(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> str:
    address = postgres.url("structforge_app", "structforge")
    monkeypatch.setenv("STRUCTFORGE_DATABASE__URL", address)
    return address


async def _stored(url: str, tenant: TenantId, ring: Keyring) -> Credential:
    new = NewCredential(id=uuid4(), name="kept", type="hmac")
    database = await Database.open(url)
    sealed = ring.seal({"secret": "kept-secret"}, Binding(tenant.uuid, new.id, 1, "hmac", ()))
    row = await Credentials(database).create(tenant, new, sealed)
    await database.close()
    return row


async def _read(url: str, row: Credential) -> Credential:
    database = await Database.open(url)
    found = await Credentials(database).get(mint_tenant(row.tenant_id), row.id)
    await database.close()
    return found


def test_key_is_made_once_and_never_printed(cli: Cli, data_dir: Path) -> None:
    first, second = cli("credential", "create-key"), cli("credential", "create-key")
    assert (first.code, second.code) == (0, 0)
    assert "made" in first.out
    assert "already" in second.out
    keys = json.loads((data_dir / "encryption-keys.json").read_text())["keys"]
    assert all(key not in first.out + second.out for key in keys.values())


def test_rotation_brings_credentials_under_the_new_key_and_then_lets_the_old_one_go(cli: Cli, url: str) -> None:
    cli("credential", "create-key")
    keys = Keys(load_settings())
    old = keys.ring()
    row = asyncio.run(_stored(url, mint_tenant(uuid4()), old))
    printed = cli("credential", "rotate-key", "--json")
    assert printed.code == 0, printed.err
    report = json.loads(printed.out)
    assert (report["rewrapped"], report["unreadable"], report["removed"]) == (1, [], [])
    now = asyncio.run(_read(url, row))
    assert now.key_id == report["active"] != old.active
    assert keys.ring().open(sealed_of(now), binding_of(now)) == {"secret": "kept-secret"}
    assert old.active in keys.ring().keys
    again = json.loads(cli("credential", "rotate-key", "--keep", "--remove-old", "--json").out)
    assert (again["rewrapped"], again["active"], again["removed"]) == (0, report["active"], [old.active])
    assert keys.ring().open(sealed_of(now), binding_of(now)) == {"secret": "kept-secret"}


def test_old_key_stays_while_a_credential_cannot_be_read(cli: Cli, url: str) -> None:
    cli("credential", "create-key")
    lost = asyncio.run(_stored(url, mint_tenant(uuid4()), Keyring("lost", {"lost": b"l" * 32})))
    printed = cli("credential", "rotate-key", "--remove-old")
    assert printed.code == 1
    assert str(lost.id) in printed.out
    assert len(Keys(load_settings()).ring().keys) == 2


def test_keys_in_the_settings_are_not_rotated_behind_their_back(
    cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"active": "a", "keys": {"a": base64.b64encode(b"a" * 32).decode()}}
    monkeypatch.setenv("STRUCTFORGE_ENCRYPTION__KEYS", json.dumps(given))
    printed = cli("credential", "rotate-key")
    assert printed.code == 2
    assert "--keep" in printed.err
