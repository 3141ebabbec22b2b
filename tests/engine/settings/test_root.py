"""Settings as an operator meets them: names, defaults, errors, secrets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.errors import ConfigurationError
from engine.settings import MASK, load_settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith("STRUCTFORGE_") or name == "TEMPORAL_ADDRESS":
            monkeypatch.delenv(name)


def test_defaults_hold_no_secret_and_paths_are_absolute() -> None:
    settings = load_settings()
    assert settings.data_dir == Path.cwd() / ".structforge"
    assert settings.files_root == settings.data_dir / "files"
    assert settings.objects_url == (settings.data_dir / "objects").as_uri()
    assert settings.api.key is settings.database.url is settings.redis.url is None


def test_nested_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRUCTFORGE_API__PORT", "0")
    monkeypatch.setenv("STRUCTFORGE_HTTP__ALLOWED_HOSTS", '["10.0.0.0/8"]')
    settings = load_settings()
    assert settings.api.port == 0
    assert settings.http.allowed_hosts == ["10.0.0.0/8"]


def test_overrides_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRUCTFORGE_API__PORT", "1")
    monkeypatch.setenv("STRUCTFORGE_API__HOST", "127.0.0.2")
    settings = load_settings(api={"port": 2})
    assert (settings.api.host, settings.api.port) == ("127.0.0.2", 2)


def test_plain_temporal_address_is_the_weaker_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "plain:7233")
    assert load_settings().temporal.address == "plain:7233"
    monkeypatch.setenv("STRUCTFORGE_TEMPORAL__ADDRESS", "own:7233")
    assert load_settings().temporal.address == "own:7233"


def test_empty_variable_means_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRUCTFORGE_REDIS__URL", "")
    assert load_settings().redis.url is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STRUCTFORGE_API__PORT", "many"),
        ("STRUCTFORGE_API__PORT", "70000"),
        ("STRUCTFORGE_API__PROT", "1"),
        ("STRUCTFORGE_WORKER__PROCESSES", "0"),
    ],
)
def test_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=variable):
        load_settings()


def test_unknown_variable_is_named_with_the_nearest_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRUCTFORGE_DATADIR", "/x")
    with pytest.raises(
        ConfigurationError, match="STRUCTFORGE_DATADIR: no such setting; did you mean STRUCTFORGE_DATA_DIR"
    ):
        load_settings()


def test_every_wrong_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRUCTFORGE_API__PORT", "many")
    monkeypatch.setenv("STRUCTFORGE_LIMITS__MAX_NODES", "none")
    with pytest.raises(ConfigurationError, match=r"API__PORT.*LIMITS__MAX_NODES"):
        load_settings()


def test_error_does_not_repeat_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRUCTFORGE_DATABASE", '{"url": ["hunter2"]}')
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


def test_redacted_settings_keep_addresses_and_hide_secrets() -> None:
    settings = load_settings(
        database={"url": "postgresql://app:hunter2@db:5432/sf?sslkey=hunter2"},
        redis={"url": "redis://:hunter2@cache:6379/0"},
        api={"key": "hunter2"},
    )
    shown = settings.redacted()
    assert "hunter2" not in str(shown)
    assert "hunter2" not in repr(settings)
    assert shown["database"]["url"] == f"postgresql://app:{MASK}@db:5432/sf"
    assert shown["redis"]["url"] == f"redis://:{MASK}@cache:6379/0"
    assert shown["api"]["key"] == MASK


def test_environment_of_settings_loads_the_same_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = load_settings(
        data_dir=tmp_path, api={"key": "k", "port": 1}, http={"allowed_hosts": ["a"]}, temporal={"address": "t:1"}
    )
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings


def test_override_is_checked_and_leaves_the_rest() -> None:
    settings = load_settings(api={"host": "::1"})
    assert settings.override({"api": {"port": 9}}).api.url == "http://[::1]:9"
    assert settings.override({"database": {"url": "x"}}).override({"database": {"url": None}}).database.url is None
    with pytest.raises(ValueError, match="port"):
        settings.override({"api": {"port": -1}})
