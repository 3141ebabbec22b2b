"""Settings of every StructForge process, read from the environment.

A variable is `STRUCTFORGE_` + section + `__` + name, such as `STRUCTFORGE_API__PORT`; lists are JSON.
`TEMPORAL_ADDRESS` is understood too, because every Temporal tool reads it. There are no default secrets: what is not
given is absent.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from engine.errors import ConfigurationError

ENV_PREFIX = "STRUCTFORGE_"
ENV_DELIMITER = "__"
MASK = "**********"
CLIENT_VARIABLES = frozenset({"STRUCTFORGE_URL", "STRUCTFORGE_DEBUG"})  # of the command line alone, no settings


# Also the name of a log file of the embedded stack.
QueueName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$")]


class Section(BaseModel):
    """One group of settings; an unknown name in it is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_absent(cls, value: object) -> object:
        # `STRUCTFORGE_REDIS__URL=` in a compose file means "not set", never "the empty address".
        return None if value == "" and cls is not ObjectSettings else value


class ApiSettings(Section):
    """Where the HTTP API listens, and the first API key if one is given from outside."""

    host: str = "127.0.0.1"
    port: int = Field(default=8400, ge=0, le=65535)
    key: SecretStr | None = None
    max_body_bytes: int = Field(default=8_000_000, gt=0)
    body_timeout_s: float = Field(default=60, gt=0)

    @property
    def url(self) -> str:
        """Base URL of the API as seen from this machine."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


# A number of tries in a time, as the library `limits` reads it.
Rate = Annotated[str, StringConstraints(pattern=r"^[1-9]\d{0,8} ?(/|per) ?([1-9]\d{0,4} )?(second|minute|hour|day)s?$")]


class AuthSettings(Section):
    """How people sign in, and how often anyone may ask.

    `token_key` signs access tokens; without it, a key is made in the data folder. A provider of OpenID Connect is used
    when `oidc_issuer`, `oidc_client_id` and `oidc_redirect_url` are set; `oidc_tenants` maps values of the claim
    `oidc_tenant_claim` to names of tenants, and everybody else of the provider belongs to `oidc_tenant`, if it is set.
    """

    token_key: SecretStr | None = None
    access_lifetime_s: int = Field(default=600, ge=30, le=86_400)
    session_lifetime_s: int = Field(default=30 * 86_400, ge=300)
    invitation_lifetime_s: int = Field(default=7 * 86_400, ge=300)
    password_login: bool = True
    min_password_length: int = Field(default=12, ge=8, le=128)
    max_password_hashes: int = Field(default=2, gt=0)
    login_per_email: Rate = "20/5 minutes"
    login_per_address: Rate = "200/5 minutes"
    api_per_key: Rate = "120000/minute"
    api_per_tenant: Rate = "600000/minute"
    oidc_issuer: str | None = None
    oidc_client_id: str | None = None
    oidc_client_secret: SecretStr | None = None
    oidc_redirect_url: str | None = None
    oidc_scopes: str = "openid email profile"
    oidc_tenant: str | None = "default"
    oidc_tenant_claim: str | None = None
    oidc_tenants: dict[str, str] = {}
    oidc_create_users: bool = True


class DatabaseSettings(Section):
    """PostgreSQL. `url` is the application's role; `owner_url` is the role that migrates and nothing else."""

    url: SecretStr | None = None
    owner_url: SecretStr | None = None
    pool_size: int = Field(default=10, gt=0)


class RedisSettings(Section):
    url: SecretStr | None = None


class TemporalSettings(Section):
    """`address` is `host:port` of the Temporal frontend."""

    address: str | None = None
    namespace: str = "default"
    ui_url: str | None = None


class ObjectSettings(Section):
    """Object store URL (`file:///...`, `s3://bucket/prefix`); empty means the folder `objects` in the data folder."""

    url: str = ""


class EmbeddedSettings(Section):
    """Ports of the embedded servers on 127.0.0.1; 0 picks a free one, and so does a default that is taken."""

    temporal_port: int = Field(default=17233, ge=0, le=65535)
    temporal_ui_port: int = Field(default=8233, ge=0, le=65535)
    temporal_http_port: int = Field(default=0, ge=0, le=65535)
    temporal_metrics_port: int = Field(default=0, ge=0, le=65535)
    postgres_port: int = Field(default=15432, ge=0, le=65535)
    redis_port: int = Field(default=16379, ge=0, le=65535)
    postgres_bin: Path | None = None
    start_timeout_s: float = Field(default=60, gt=0)


class WorkerSettings(Section):
    task_queue: str = "structforge"
    processes: int = Field(default=1, gt=0)
    max_concurrent_activities: int = Field(default=100, gt=0)
    max_concurrent_workflow_tasks: int = Field(default=40, gt=1)
    max_eager_activities: int = Field(default=50, ge=0)
    max_cached_workflows: int = Field(default=1000, ge=0)
    evaluator_processes: int = Field(default=2, gt=0)
    graceful_shutdown_s: float = Field(default=30, ge=0)
    routes: dict[str, QueueName] = {}
    queues: list[QueueName] = []
    stuck_after_s: float = Field(default=60, ge=0)


class LimitSettings(Section):
    """Bounds on documents and on what one expression or node may use."""

    max_document_bytes: int = Field(default=4_000_000, gt=0)
    max_nodes: int = Field(default=10_000, gt=0)
    max_body_depth: int = Field(default=16, gt=0)
    max_expression_bytes: int = Field(default=4096, gt=0)
    max_iterations: int = Field(default=10_000, gt=0)
    inline_output_bytes: int = Field(default=32_768, gt=0)
    expression_timeout_s: float = Field(default=1, gt=0)
    expression_memory_bytes: int = Field(default=64 * 1024 * 1024, gt=0)


class WorkflowSettings(Section):
    """Versions behind the last `keep_versions` of a workflow go, but never one that is published or was executed."""

    keep_versions: int | None = Field(default=200, ge=1)


class RecorderSettings(Section):
    """How long and how many outcomes the recorder gathers before one write, and what it keeps beside them.

    `inputs`: the resolved parameters of no node, of nodes that do I/O and of all that fail, or of all nodes.
    """

    max_delay_ms: float = Field(default=50, ge=0)
    max_rows: int = Field(default=1000, gt=0)
    inputs: Literal["none", "io", "all"] = "io"
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class HttpSettings(Section):
    """`allowed_hosts`: host names or CIDR blocks that the guard against internal addresses lets through."""

    allowed_hosts: list[str] = []


class FileSettings(Section):
    """`root` holds the tenants' files; by default the folder `files` in the data folder."""

    root: Path | None = None


class CredentialSettings(Section):
    """`file` holds the operator's credentials; by default `credentials.yaml` in the data folder."""

    file: Path | None = None


class EncryptionSettings(Section):
    """Keys that wrap the secrets of tenants: JSON in `keys`, else `key_file`, by default `encryption-keys.json` in the
    data folder."""

    keys: SecretStr | None = None
    key_file: Path | None = None


class PluginSettings(Section):
    """`folder` holds plugins, each a folder with a plugin.toml; by default the folder `plugins` in the data folder."""

    folder: Path | None = None


class ScriptSettings(Section):
    """Scripts of the node type `script`. `processes` run the sandboxed interpreter, at most `max_isolated` scripts run
    in the isolation of `cpython` at a time, each with a /tmp of `tmp_bytes` (0 is none)."""

    processes: int = Field(default=4, gt=0)
    max_timeout_s: float = Field(default=60, gt=0)
    max_memory_bytes: int = Field(default=512 * 1024 * 1024, gt=0)
    cpython: bool = False
    max_isolated: int = Field(default=4, gt=0)
    tmp_bytes: int = Field(default=16 * 1024 * 1024, ge=0)


class CommandSettings(Section):
    """`file` registers the commands of `system_command`; by default `commands.yaml` in the data folder."""

    file: Path | None = None


class AuditSettings(Section):
    """How long the audit log keeps changes and refused tries, and how many of the latter a process writes a minute."""

    retention_days: int = Field(default=365, ge=30)
    refused_retention_days: int = Field(default=30, ge=30)
    refused_per_minute: int = Field(default=60, ge=0)


class ShareSettings(Section):
    """Sharing links: the longest time that one may last."""

    max_days: float = Field(default=90, gt=0)


class AiSettings(Section):
    """`models_file` holds AI models for all tenants; by default `ai-models.yaml` in the data folder."""

    models_file: Path | None = None


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
    objects: ObjectSettings = ObjectSettings()
    embedded: EmbeddedSettings = EmbeddedSettings()
    worker: WorkerSettings = WorkerSettings()
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

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _TemporalAddressSource(settings_cls)

    @field_validator("data_dir", mode="after")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @property
    def objects_url(self) -> str:
        """The object store's URL, with the default filled in."""
        return self.objects.url or (self.data_dir / "objects").as_uri()

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
