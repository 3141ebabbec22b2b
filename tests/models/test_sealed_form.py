"""What is stored stays readable: secrets sealed by an earlier version, and the parts of keys that nobody may see."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from engine.errors import ConfigurationError
from engine.settings import load_settings
from models.keyring import Keys, add_active_key, ensure_key_file
from models.sealing import Binding, Keyring, SealBroken, Sealed

KEY = bytes(range(32))
RING = Keyring("k1", {"k1": KEY})
BINDING = Binding(UUID(int=1), UUID(int=2), 3, "bearer", ("a.example", "b.example"))
# Sealed by the first version of the form. If this does not open, stored credentials do not either.
STORED = Sealed(
    "k1",
    base64.b64decode("obzH4QmNYGmyC6Kw+q9mBxallXDvyAlnZo4TCR/e9s6xHVFdb87Ko1zlEIF80AJFI2VNo0bXv054JeUR"),
    base64.b64decode("PwBIEtrscquCVMaafw6KDUK0qmVjxPUHDFt57YHQ+ANlrKR+bakE3iMpRHHCzw=="),
)


def test_a_secret_of_an_earlier_version_opens() -> None:
    assert RING.open(STORED, BINDING) == {"token": "golden"}
    assert RING.open(RING.rewrap(STORED, BINDING), BINDING) == {"token": "golden"}


def test_a_sealed_secret_is_its_nonce_the_secret_and_a_tag() -> None:
    sealed = RING.seal({"token": "golden"}, BINDING)
    assert (len(sealed.wrapped_key), len(sealed.ciphertext)) == (12 + 32 + 16, 12 + len('{"token":"golden"}') + 16)


@pytest.mark.parametrize(
    "change",
    [
        {"tenant_id": UUID(int=9)},
        {"credential_id": UUID(int=9)},
        {"version": 4},
        {"type": "basic"},
        {"allowed_hosts": ("a.example",)},
        {"allowed_hosts": ("b.example", "a.example")},
    ],
)
def test_each_fact_of_the_binding_is_authenticated(change: dict[str, object]) -> None:
    with pytest.raises(SealBroken) as caught:
        RING.open(STORED, replace(BINDING, **change))  # pyright: ignore[reportArgumentType]
    assert caught.value.code == "CREDENTIAL_UNREADABLE"


def test_a_key_that_is_not_here_is_named() -> None:
    with pytest.raises(SealBroken) as caught:
        Keyring("k2", {"k2": KEY}).open(STORED, BINDING)
    assert (caught.value.code, caught.value.details) == ("CREDENTIAL_UNREADABLE", {"key_id": "k1"})


def test_a_ring_takes_no_second_key_of_a_name_and_shows_none() -> None:
    with pytest.raises(ConfigurationError, match="already"):
        RING.with_new_key("k1")
    renewed = RING.with_new_key("k2")
    assert (renewed.active, len(renewed.keys["k2"]), renewed.keys["k1"]) == ("k2", 32, KEY)
    shown = repr(RING) + repr(STORED)
    assert "k1" in shown
    for secret in (KEY, STORED.wrapped_key, STORED.ciphertext):
        assert repr(secret)[2:12] not in shown


def test_keys_have_names_of_their_day_and_their_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "not" / "there" / "keys.json"
    assert ensure_key_file(path)
    first = json.loads(path.read_text())
    assert (first["active"], [*first["keys"]]) == ("first", ["first"])
    renewed = add_active_key(path, Keyring("first", {"first": KEY}))
    assert re.fullmatch(r"k-\d{4}-\d\d-\d\d-[0-9a-f]{4}", renewed.active)
    assert json.loads(path.read_text())["active"] == renewed.active


def test_a_file_that_has_not_changed_is_not_read_again(tmp_path: Path) -> None:
    keys = Keys(load_settings(data_dir=tmp_path))
    assert not keys.in_settings
    ensure_key_file(keys.path)
    assert keys.ring() is keys.ring()


def test_wrong_keys_in_the_settings_are_named_by_their_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^STRUCTFORGE_ENCRYPTION__KEYS must be"):
        Keys(load_settings(data_dir=tmp_path, encryption={"keys": "{}"}))
