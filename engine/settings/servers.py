"""Settings of the servers that StructForge talks to: PostgreSQL, Redis, Temporal, and TLS towards each.

The URLs of PostgreSQL and Redis say in their parameters what the TLS settings say, so that every driver and tool that
is given one verifies alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import BaseModel, Field, SecretStr, model_validator

from engine.settings.section import SectionRules


class ServerTls(SectionRules):
    """TLS to one server. `tls` is on when one of the files is given; then chain and name are verified, always.

    `tls_ca` holds the certificates of authorities that are trusted, by default those of the system. With mutual TLS,
    `tls_cert` and `tls_key` are shown to the server. All are PEM files; the key is not encrypted.
    """

    tls: bool | None = None
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

    @property
    def uses_tls(self) -> bool:
        return self.tls if self.tls is not None else bool(self.tls_ca or self.tls_cert)

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together")
        return self


def postgres_url(url: SecretStr | None, tls: ServerTls) -> SecretStr | None:
    """The URL with the parameters of libpq, which asyncpg reads too. Raises: ValueError without authorities.

    Neither looks for the system's own authorities by itself, so that a file must be named.
    """
    if url is None or not tls.uses_tls:
        return url
    if tls.tls_ca is None:
        raise ValueError("TLS to PostgreSQL needs tls_ca, such as /etc/ssl/certs/ca-certificates.crt")
    files = {"sslrootcert": tls.tls_ca, "sslcert": tls.tls_cert, "sslkey": tls.tls_key}
    return _with_query(url, urlsplit(url.get_secret_value()).scheme, {"sslmode": "verify-full", **_paths(files)})


def redis_url(url: SecretStr | None, tls: ServerTls) -> SecretStr | None:
    """The URL with the scheme and the parameters of redis-py, which verifies chain and name unless told otherwise."""
    if url is None or not tls.uses_tls:
        return url
    files = {"ssl_ca_certs": tls.tls_ca, "ssl_certfile": tls.tls_cert, "ssl_keyfile": tls.tls_key}
    return _with_query(url, "rediss", {"ssl_cert_reqs": "required", "ssl_check_hostname": "true", **_paths(files)})


def _paths(files: Mapping[str, Path | None]) -> dict[str, str]:
    return {name: str(path.expanduser().absolute()) for name, path in files.items() if path is not None}


def _with_query(url: SecretStr, scheme: str, changes: Mapping[str, str]) -> SecretStr:
    parts = urlsplit(url.get_secret_value())
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in changes]
    query = urlencode([*kept, *changes.items()], safe="/")
    return SecretStr(urlunsplit((scheme, parts.netloc, parts.path, query, "")))


class DatabaseSettings(ServerTls):
    """PostgreSQL. `url` is the application's role; `owner_url` is the role that migrates and nothing else."""

    url: SecretStr | None = None
    owner_url: SecretStr | None = None
    pool_size: int = Field(default=10, gt=0)

    @model_validator(mode="after")
    def _urls_say_tls(self) -> Self:
        object.__setattr__(self, "url", postgres_url(self.url, self))
        object.__setattr__(self, "owner_url", postgres_url(self.owner_url, self))
        return self


class RedisSettings(ServerTls):
    url: SecretStr | None = None

    @model_validator(mode="after")
    def _url_says_tls(self) -> Self:
        object.__setattr__(self, "url", redis_url(self.url, self))
        return self


class TemporalSettings(ServerTls):
    """`address` is `host:port` of the Temporal frontend; `tls_server_name` is verified in place of the host's name."""

    address: str | None = None
    namespace: str = "default"
    ui_url: str | None = None
    tls_server_name: str | None = None


class CodecSettings(SectionRules, BaseModel):
    """`encrypt`: payloads in Temporal are sealed under the encryption keys. `ui_origins`: pages of the Temporal Web UI
    that may ask the codec server; by default that of `temporal.ui_url`."""

    encrypt: bool = False
    ui_origins: list[str] = []
