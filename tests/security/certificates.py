"""Certificates made on the spot, and the embedded servers behind TLS that asks for one of the client."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trustme

from engine.settings import Settings
from tests.servers.tls_proxy import tls_proxy

HOSTS = ("127.0.0.1", "localhost")


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority with its files: `ca`, and pairs of certificate and key by name."""

    folder: Path
    made: trustme.CA

    @classmethod
    def make(cls, folder: Path, name: str) -> Authority:
        made = trustme.CA(organization_name=name)
        home = folder / name
        home.mkdir()
        made.cert_pem.write_to_path(home / "ca.pem")
        return cls(home, made)

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def issue(self, name: str, *hosts: str, **options: Any) -> dict[str, Path]:
        """Files of a new certificate, under the names that settings have for them."""
        made = self.made.issue_cert(*(hosts or HOSTS), **options)
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        cert.write_bytes(b"".join(part.bytes() for part in made.cert_chain_pems))
        made.private_key_pem.write_to_path(key)
        return {"tls_cert": cert, "tls_key": key}

    def server_context(self, pair: dict[str, Path], *protocols: str) -> ssl.SSLContext:
        """What a server takes that demands a certificate of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair["tls_cert"], pair["tls_key"])
        context.load_verify_locations(self.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        if protocols:
            context.set_alpn_protocols([*protocols])
        return context


@contextlib.asynccontextmanager
async def behind_tls(settings: Settings, authority: Authority, *hosts: str) -> AsyncGenerator[Settings]:
    """The servers of the settings, each behind TLS, and settings that name those places and no certificate yet.

    `hosts` are the names in the servers' certificate.
    """
    assert settings.database.url is not None
    assert settings.redis.url is not None
    assert settings.temporal.address is not None
    pair = authority.issue("server", *hosts)
    plain = authority.server_context(pair)
    urls = {
        "url": settings.database.url.get_secret_value(),
        "owner_url": (settings.database.owner_url or settings.database.url).get_secret_value(),
    }
    redis = settings.redis.url.get_secret_value()
    async with contextlib.AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(tls_proxy(_port(urls["url"]), plain, "postgres"))
        valkey = await stack.enter_async_context(tls_proxy(_port(redis), plain))
        address = f"//{settings.temporal.address}"
        temporal = await stack.enter_async_context(tls_proxy(_port(address), authority.server_context(pair, "h2")))
        yield settings.override(
            {
                "database": {name: _moved(url, postgres) for name, url in urls.items()},
                "redis": {"url": _moved(redis, valkey)},
                "temporal": {"address": f"127.0.0.1:{temporal}"},
            }
        )


def trusting(settings: Settings, ca: Path, pair: dict[str, Path] | None = None) -> Settings:
    """The settings with an authority, and with a certificate to show, for all three servers."""
    files = {"tls_ca": ca, **(pair or {})}
    return settings.override({"database": files, "redis": files, "temporal": files})


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def _moved(url: str, port: int) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}").geturl()
