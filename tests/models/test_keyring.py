"""Where the keys come from."""

from __future__ import annotations

import base64
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.errors import ConfigurationError
from engine.settings import load_settings
from models.keyring import Keys, add_active_key, ensure_key_file, keep_only_active

GIVEN = json.dumps({"active": "a", "keys": {"a": base64.b64encode(b"a" * 32).decode()}})


def test_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "keys.json"
    assert ensure_key_file(path)
    made = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not ensure_key_file(path)
    assert path.read_text() == made


def test_processes_that_make_the_file_at_once_agree(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: ensure_key_file(path), range(8)))
    assert sum(made) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["keys.json"]


def test_new_key_is_seen_without_a_restart_and_the_old_one_stays(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path)
    keys = Keys(settings)
    ensure_key_file(keys.path)
    before = keys.ring()
    renewed = add_active_key(keys.path, before)
    assert keys.ring() == renewed
    assert renewed.active != before.active
    assert renewed.keys[before.active] == before.keys[before.active]
    assert keep_only_active(keys.path, keys.ring()) == [before.active]
    assert set(keys.ring().keys) == {renewed.active}


def test_file_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    keys = Keys(load_settings(data_dir=tmp_path))
    ensure_key_file(keys.path)
    keys.path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        keys.ring()


def test_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="credential create-key"):
        Keys(load_settings(data_dir=tmp_path)).ring()


def test_keys_of_the_settings_win_and_are_never_shown(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, encryption={"keys": GIVEN})
    keys = Keys(settings)
    assert keys.in_settings
    assert keys.ring().active == "a"
    assert GIVEN[30:60] not in json.dumps(settings.redacted())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"active": "a", "keys": {"a": "%%"}}', '{"active": "a", "keys": 1}'])
def test_broken_file_is_named_without_its_text(tmp_path: Path, text: str) -> None:
    keys = Keys(load_settings(data_dir=tmp_path))
    keys.path.write_text(text)
    keys.path.chmod(0o600)
    with pytest.raises(ConfigurationError, match=r"encryption-keys\.json must be"):
        keys.ring()
