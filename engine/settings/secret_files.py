"""Secrets out of files: `STRUCTFORGE_DATABASE__URL_FILE=/run/secrets/database_url` in place of the value itself.

Every setting that is a secret may be given so, and no other. What mounts secrets as files (Compose, Kubernetes,
systemd) keeps them out of the environment, where `docker inspect` and child processes would show them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, SecretStr
from pydantic_settings import BaseSettings, EnvSettingsSource

from engine.errors import ConfigurationError

SUFFIX = "_FILE"
MAX_BYTES = 65_536


class EnvironmentSource(EnvSettingsSource):
    """The environment, with the files that it names read in.

    Raises: ConfigurationError if a file cannot be read or is empty, or if a setting is given twice.
    """

    def _load_env_vars(self) -> Mapping[str, str | None]:
        values = dict(super()._load_env_vars())
        for name in secret_names(self.settings_cls):
            _take_file(values, name if self.case_sensitive else name.lower(), shown=name)
        return values


def secret_names(settings: type[BaseSettings]) -> list[str]:
    """The variable of every setting that is a secret."""
    prefix, delimiter = settings.model_config.get("env_prefix", ""), settings.model_config.get("env_nested_delimiter")
    return [f"{prefix}{section.upper()}{delimiter}{name.upper()}" for section, name in _secrets(settings)]


def _secrets(settings: type[BaseSettings]) -> Iterator[tuple[str, str]]:
    for section, field in settings.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            for name, inner in model.model_fields.items():
                if SecretStr in (inner.annotation, *get_args(inner.annotation)):
                    yield section, name


def _take_file(values: MutableMapping[str, str | None], name: str, *, shown: str) -> None:
    variable = name + (SUFFIX if name.isupper() else SUFFIX.lower())
    path = values.pop(variable, None)
    if not path:
        return
    if values.get(name):
        raise ConfigurationError(f"{shown} and {shown}{SUFFIX} are both set: keep one")
    values[name] = read_secret(Path(path), f"{shown}{SUFFIX}")


def read_secret(path: Path, variable: str) -> str:
    """What the file holds, without the line end that editors add. Raises: ConfigurationError."""
    try:
        with path.open("rb") as file:
            text = os.fsdecode(file.read(MAX_BYTES)).strip()
    except OSError as error:
        raise ConfigurationError(f"{variable}: {path} cannot be read: {error.strerror}") from None
    if not text:
        raise ConfigurationError(f"{variable}: {path} is empty")
    return text
