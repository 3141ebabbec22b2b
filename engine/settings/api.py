"""Settings of the HTTP API: where it listens, who may come in, what it bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, Field, SecretStr, StringConstraints, model_validator

from engine.settings.section import SectionRules


class ApiSettings(SectionRules, BaseModel):
    """Where the HTTP API listens, and the first API key if one is given from outside.

    With `tls_cert` and `tls_key` it speaks TLS, and with `tls_client_ca` it lets in those alone who show a certificate
    of these authorities. All are PEM files.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8400, ge=0, le=65535)
    key: SecretStr | None = None
    max_body_bytes: int = Field(default=8_000_000, gt=0)
    body_timeout_s: float = Field(default=60, gt=0)
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    public_url: str | None = Field(default=None, pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None) or (self.tls_client_ca and not self.tls_cert):
            raise ValueError("tls_cert and tls_key go together, and tls_client_ca needs them")
        return self

    @property
    def url(self) -> str:
        """Base URL of the API as seen from this machine."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104
        return f"http{'s' if self.tls_cert else ''}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def base_url(self) -> str:
        """What links that are sent to people begin with, without a slash at the end."""
        return (self.public_url or self.url).rstrip("/")


# A number of tries in a time, as the library `limits` reads it.
Rate = Annotated[str, StringConstraints(pattern=r"^[1-9]\d{0,8} ?(/|per) ?([1-9]\d{0,4} )?(second|minute|hour|day)s?$")]


class AuthSettings(SectionRules, BaseModel):
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


class ShareSettings(SectionRules, BaseModel):
    """Sharing links: the longest time that one may last."""

    max_days: float = Field(default=90, gt=0)


class AuditSettings(SectionRules, BaseModel):
    """How long the audit log keeps changes and refused tries, and how many of the latter a process writes a minute."""

    retention_days: int = Field(default=365, ge=30)
    refused_retention_days: int = Field(default=30, ge=30)
    refused_per_minute: int = Field(default=60, ge=0)


class HookSettings(SectionRules, BaseModel):
    """Webhooks. A body counts after it is decompressed, and as it comes it is bounded as every request's is."""

    per_path: Rate = "6000/minute"
    max_body_bytes: int = Field(default=8_000_000, gt=0)
    max_files: int = Field(default=20, ge=0)
    max_fields: int = Field(default=1000, gt=0)
    wait_s: float = Field(default=30, gt=0, le=300)


class LiveSettings(SectionRules, BaseModel):
    """Live streams that one API process serves at a time. `allowed_origins` are those of web pages on other hosts than
    the API's own that may open a WebSocket, such as `https://app.example.com`."""

    max_streams_per_tenant: int = Field(default=200, gt=0)
    max_streams_per_key: int = Field(default=50, gt=0)
    allowed_origins: list[str] = []
