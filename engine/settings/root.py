"""Settings of every StructForge process, read from the environment.

A variable is `STRUCTFORGE_` + section + `__` + name, such as `STRUCTFORGE_API__PORT`; lists are JSON.
`TEMPORAL_ADDRESS` is understood too, because every Temporal tool reads it. There are no default secrets: what is not
given is absent. A secret may also be given by a file that `..._FILE` names (`engine.settings.secret_files`).
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

from pydantic import (
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from engine.errors import ConfigurationError
from engine.settings.api import (
    ApiSettings,
    AuditSettings,
    AuthSettings,
    HookSettings,
    LiveSettings,
    ShareSettings,
)
from engine.settings.fairness import FairnessSettings
from engine.settings.nodes import (
    AiSettings,
    CommandSettings,
    CredentialSettings,
    FileSettings,
    HttpSettings,
    PluginSettings,
    ScriptSettings,
)
from engine.settings.notifications import NotificationSettings
from engine.settings.observability import HealthSettings, LogSettings, MetricsSettings, TracingSettings
from engine.settings.secret_files import EnvironmentSource
from engine.settings.servers import CodecSettings, DatabaseSettings, RedisSettings, TemporalSettings
from engine.settings.storage import EmbeddedSettings, EncryptionSettings, ObjectSettings
from engine.settings.upkeep import RetentionSettings, UpkeepSettings
from engine.settings.work import LimitSettings, RecorderSettings, WorkerSettings, WorkflowSettings

ENV_PREFIX = "STRUCTFORGE_"
ENV_DELIMITER = "__"
MASK = "**********"
CLIENT_VARIABLES = frozenset({"STRUCTFORGE_URL", "STRUCTFORGE_DEBUG"})  # of the command line alone, no settings


class _TemporalAddressSource(PydanticBaseSettingsSource):
    """`TEMPORAL_ADDRESS`, weaker than `STRUCTFORGE_TEMPORAL__ADDRESS`."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        address = os.environ.get("TEMPORAL_ADDRESS")
        return {"temporal": {"address": address}} if address else {}


class Settings(BaseSettings):
    """Everything a process needs to know; frozen, absolute paths.

    Raises: pydantic.ValidationError; use `load_settings` to get a ConfigurationError that names the variable.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=ENV_DELIMITER,
        extra="forbid",
        frozen=True,
        validate_default=True,
    )

    data_dir: Path = Path(".structforge")
    api: ApiSettings = ApiSettings()
    auth: AuthSettings = AuthSettings()
    database: DatabaseSettings = DatabaseSettings()
    redis: RedisSettings = RedisSettings()
    temporal: TemporalSettings = TemporalSettings()
    codec: CodecSettings = CodecSettings()
    objects: ObjectSettings = ObjectSettings()
    embedded: EmbeddedSettings = EmbeddedSettings()
    worker: WorkerSettings = WorkerSettings()
    fairness: FairnessSettings = FairnessSettings()
    limits: LimitSettings = LimitSettings()
    workflows: WorkflowSettings = WorkflowSettings()
    recorder: RecorderSettings = RecorderSettings()
    http: HttpSettings = HttpSettings()
    files: FileSettings = FileSettings()
    credentials: CredentialSettings = CredentialSettings()
    encryption: EncryptionSettings = EncryptionSettings()
    ai: AiSettings = AiSettings()
    plugins: PluginSettings = PluginSettings()
    scripts: ScriptSettings = ScriptSettings()
    commands: CommandSettings = CommandSettings()
    audit: AuditSettings = AuditSettings()
    shares: ShareSettings = ShareSettings()
    live: LiveSettings = LiveSettings()
    notifications: NotificationSettings = NotificationSettings()
    hooks: HookSettings = HookSettings()
    health: HealthSettings = HealthSettings()
    metrics: MetricsSettings = MetricsSettings()
    logs: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()
    retention: RetentionSettings = RetentionSettings()
    upkeep: UpkeepSettings = UpkeepSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, EnvironmentSource(settings_cls), _TemporalAddressSource(settings_cls)

    @field_validator("data_dir", mode="after")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @property
    def objects_url(self) -> str:
        """The object store's URL, with the default filled in."""
        return self.objects.url or (self.data_dir / "objects").as_uri()

    @property
    def objects_options(self) -> dict[str, Any]:
        """What the client of an S3 store is told; nothing for other stores. Holds secrets."""
        return self.objects.options if self.objects_url.startswith("s3:") else {}

    @property
    def files_root(self) -> Path:
        """The folder of the tenants' files, with the default filled in; absolute."""
        return (self.files.root or self.data_dir / "files").expanduser().absolute()

    @property
    def credentials_file(self) -> Path:
        """The file of the operator's credentials, with the default filled in; absolute."""
        return (self.credentials.file or self.data_dir / "credentials.yaml").expanduser().absolute()

    @property
    def encryption_key_file(self) -> Path:
        """The file of the keys that wrap secrets, with the default filled in; absolute."""
        return (self.encryption.key_file or self.data_dir / "encryption-keys.json").expanduser().absolute()

    @property
    def plugins_folder(self) -> Path:
        """The folder of plugins, with the default filled in; absolute."""
        return (self.plugins.folder or self.data_dir / "plugins").expanduser().absolute()

    @property
    def commands_file(self) -> Path:
        """The file that registers commands, with the default filled in; absolute."""
        return (self.commands.file or self.data_dir / "commands.yaml").expanduser().absolute()

    @property
    def ai_models_file(self) -> Path:
        """The file of the operator's AI models, with the default filled in; absolute."""
        return (self.ai.models_file or self.data_dir / "ai-models.yaml").expanduser().absolute()

    def override(self, changes: Mapping[str, Any]) -> Settings:
        """A checked copy with `changes` (nested dicts) laid over these settings."""
        merged = _merge(self.model_dump(exclude_unset=True), changes)
        return Settings.model_validate(merged)

    def as_environment(self) -> dict[str, str]:
        """The variables that make another process load these same settings. Holds secrets: never print it."""
        tree = _reveal(self.model_dump(mode="python"))
        return {name: _as_variable(value) for name, value in _leaves(tree, ENV_PREFIX) if value is not None}

    def redacted(self) -> dict[str, Any]:
        """All settings as JSON data with the defaults filled in and no secret in it."""
        tree = cast("dict[str, Any]", _redact(self.model_dump(mode="python")))
        tree["objects"]["url"] = _redact_url(self.objects_url)
        tree["files"]["root"] = str(self.files_root)
        tree["plugins"]["folder"] = str(self.plugins_folder)
        return tree


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment, `overrides` (nested dicts, such as `api={"port": 0}`) winning over it.

    Raises: ConfigurationError naming every variable that is wrong or unknown.
    """
    _reject_unknown_variables()
    try:
        return Settings(**overrides)
    except ValidationError as error:
        problems = [f"{_variable(item['loc'])}: {item['msg']}" for item in error.errors(include_input=False)]
        raise ConfigurationError("; ".join(problems), details={"problems": problems}) from None
    except SettingsError as error:
        raise ConfigurationError(f"{ENV_PREFIX}*: {error}") from None


def _reject_unknown_variables() -> None:
    known = [ENV_PREFIX + name.upper() for name in Settings.model_fields]
    for variable in os.environ:
        upper = variable.upper()
        if not upper.startswith(ENV_PREFIX) or upper in CLIENT_VARIABLES or upper.split(ENV_DELIMITER)[0] in known:
            continue
        near = difflib.get_close_matches(upper, [*known, *_all_variables()], n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigurationError(f"{variable}: no such setting{hint}")


def _all_variables() -> list[str]:
    defaults = Settings.model_construct().model_dump(mode="python")
    return [name for name, _ in _leaves(defaults, ENV_PREFIX)]


def _variable(location: tuple[int | str, ...]) -> str:
    names = [part.upper() for part in location if isinstance(part, str)]
    return ENV_PREFIX + ENV_DELIMITER.join(names)


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(old, Mapping)
        merged[key] = _merge(cast("Mapping[str, Any]", old), cast("Mapping[str, Any]", value)) if both else value
    return merged


def _leaves(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        name = prefix + key.upper()
        # A mapping inside a section is one variable, as JSON.
        if isinstance(value, Mapping) and ENV_DELIMITER not in prefix:
            yield from _leaves(cast("Mapping[str, Any]", value), name + ENV_DELIMITER)
        else:
            yield name, value


def _as_variable(value: object) -> str:
    return value if isinstance(value, str) else str(value) if isinstance(value, Path) else json.dumps(value)


def _reveal(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reveal(item) for key, item in cast("dict[str, Any]", value).items()}
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _redact(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _redact(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, SecretStr):
        return _redact_url(value.get_secret_value())
    return str(value) if isinstance(value, Path) else value


def _redact_url(text: str) -> str:
    """A URL keeps host and path, for they help; anything that is no URL is hidden whole."""
    parts = urlsplit(text)
    if not parts.scheme or not (parts.netloc or parts.path):
        return MASK
    place = parts.netloc.rpartition("@")
    user = place[0].partition(":")[0]
    netloc = f"{user}:{MASK}@{place[2]}" if place[0] else parts.netloc
    return urlunsplit((parts.scheme, netloc, parts.path, "", ""))
