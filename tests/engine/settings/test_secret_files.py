from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import ConfigurationError
from engine.settings import Settings, load_settings
from engine.settings.secret_files import secret_names

URL = "postgresql://app:s3cret@db/structforge"


def test_a_secret_is_read_from_the_file_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "url").write_text(f"{URL}\n")
    (tmp_path / "keys").write_text('{"active": "first", "keys": {}}')
    monkeypatch.setenv("STRUCTFORGE_DATABASE__URL_FILE", str(tmp_path / "url"))
    monkeypatch.setenv("STRUCTFORGE_ENCRYPTION__KEYS_FILE", str(tmp_path / "keys"))
    settings = load_settings()
    assert settings.database.url
    assert settings.database.url.get_secret_value() == URL
    assert settings.encryption.keys
    assert settings.encryption.keys.get_secret_value().startswith("{")
    assert "s3cret" not in str(settings.redacted())


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_file_without_a_secret_is_an_error_that_names_the_variable(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (tmp_path / "key").write_text(content)
    monkeypatch.setenv("STRUCTFORGE_API__KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(ConfigurationError, match="STRUCTFORGE_API__KEY_FILE"):
        load_settings()


def test_a_secret_that_is_given_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("sf_of-the-file")
    monkeypatch.setenv("STRUCTFORGE_API__KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("STRUCTFORGE_API__KEY", "sf_of-the-environment")
    with pytest.raises(ConfigurationError, match="both set"):
        load_settings()


def test_an_empty_name_of_a_file_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRUCTFORGE_API__KEY_FILE", "")
    assert load_settings().api.key is None


def test_only_secrets_are_read_from_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRUCTFORGE_API__HOST_FILE", "/etc/hostname")
    with pytest.raises(ConfigurationError, match="API__HOST_FILE"):
        load_settings()


def test_no_setting_has_the_name_of_a_secrets_file() -> None:
    names = set(secret_names(Settings))
    fields = {
        f"STRUCTFORGE_{section}__{name}".upper()
        for section, field in Settings.model_fields.items()
        for name in getattr(field.annotation, "model_fields", {})
    }
    assert {"STRUCTFORGE_DATABASE__URL", "STRUCTFORGE_OBJECTS__SECRET_ACCESS_KEY"} <= names <= fields
    assert not {f"{name}_FILE" for name in names} & fields
