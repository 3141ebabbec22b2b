"""Settings of what is kept where: objects, keys, the embedded servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, Field, SecretStr, model_validator

from engine.settings.section import SectionRules


class ObjectSettings(SectionRules, BaseModel):
    """Object store URL (`file:///...`, `s3://bucket/prefix`); empty means the folder `objects` in the data folder.

    The others are for S3: `endpoint` for a store that is not Amazon's, keys where the machine has no role of its own.
    """

    empty_means_absent: ClassVar[bool] = False
    url: str = ""
    endpoint: str = Field(default="", pattern=r"^(https?://[^\s/?#@]+/?)?$")
    region: str = ""
    access_key_id: SecretStr | None = None
    secret_access_key: SecretStr | None = None

    @model_validator(mode="after")
    def _key_has_its_secret(self) -> Self:
        if bool(self.access_key_id) != bool(self.secret_access_key):
            raise ValueError("access_key_id and secret_access_key go together")
        return self

    @property
    def options(self) -> dict[str, Any]:
        """What the S3 client is told beside the URL; it reads the usual `AWS_` variables for the rest."""
        key, secret = self.access_key_id, self.secret_access_key
        given = {
            "endpoint": self.endpoint.rstrip("/"),
            "region": self.region,
            "access_key_id": key.get_secret_value() if key else "",
            "secret_access_key": secret.get_secret_value() if secret else "",
        }
        plain = {"client_options": {"allow_http": True}} if self.endpoint.startswith("http://") else {}
        return {name: value for name, value in given.items() if value} | plain


class EncryptionSettings(SectionRules, BaseModel):
    """Keys that wrap the secrets of tenants: JSON in `keys`, else `key_file`, by default `encryption-keys.json` in the
    data folder."""

    keys: SecretStr | None = None
    key_file: Path | None = None


class EmbeddedSettings(SectionRules, BaseModel):
    """Ports of the embedded servers on 127.0.0.1; 0 picks a free one, and so does a default that is taken."""

    temporal_port: int = Field(default=17233, ge=0, le=65535)
    temporal_ui_port: int = Field(default=8233, ge=0, le=65535)
    temporal_http_port: int = Field(default=0, ge=0, le=65535)
    temporal_metrics_port: int = Field(default=0, ge=0, le=65535)
    postgres_port: int = Field(default=15432, ge=0, le=65535)
    redis_port: int = Field(default=16379, ge=0, le=65535)
    postgres_bin: Path | None = None
    start_timeout_s: float = Field(default=60, gt=0)
