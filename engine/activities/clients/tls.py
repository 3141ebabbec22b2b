"""Certificates of the settings, as the clients and the API take them: read, checked, and refused with their names."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from temporalio.service import TLSConfig

from engine.errors import ConfigurationError
from engine.settings import Settings
from engine.settings.api import ApiSettings
from engine.settings.servers import ServerTls, TemporalSettings


def temporal_tls(settings: TemporalSettings) -> TLSConfig | None:
    """TLS to the Temporal frontend, None without it; its certificate and name are always verified.

    Raises: ConfigurationError naming the variable whose file cannot be used.
    """
    if not settings.uses_tls:
        return None
    check_client("TEMPORAL", settings)
    return TLSConfig(
        server_root_ca_cert=_read(settings.tls_ca),
        domain=settings.tls_server_name,
        client_cert=_read(settings.tls_cert),
        client_private_key=_read(settings.tls_key),
    )


def check_client(section: str, settings: ServerTls) -> None:
    """Raises: ConfigurationError if the files of a server's section cannot be used."""
    check_authorities(f"STRUCTFORGE_{section}__TLS_CA", settings.tls_ca)
    check_identity(f"STRUCTFORGE_{section}__TLS_CERT", settings.tls_cert, settings.tls_key)


def check_api(settings: ApiSettings) -> None:
    """Raises: ConfigurationError if the files of the API's own TLS cannot be used."""
    check_identity("STRUCTFORGE_API__TLS_CERT", settings.tls_cert, settings.tls_key)
    check_authorities("STRUCTFORGE_API__TLS_CLIENT_CA", settings.tls_client_ca)


def tls_options(settings: ApiSettings) -> dict[str, Any]:
    """What uvicorn is told: nothing without TLS. Raises: ConfigurationError if the files cannot be used."""
    if settings.tls_cert is None:
        return {}
    check_api(settings)
    wanted = ssl.CERT_NONE if settings.tls_client_ca is None else ssl.CERT_REQUIRED
    return {
        "ssl_certfile": settings.tls_cert,
        "ssl_keyfile": settings.tls_key,
        "ssl_ca_certs": None if settings.tls_client_ca is None else str(settings.tls_client_ca),
        "ssl_cert_reqs": wanted,
    }


def context_for_own_api(settings: ApiSettings) -> ssl.SSLContext | None:
    """For a look at the API of this machine, which is trusted by its very certificate, whatever its name; None without
    TLS."""
    if settings.tls_cert is None:
        return None
    context = ssl.create_default_context(cafile=settings.tls_cert)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def check_authorities(variable: str, path: Path | None) -> None:
    """Whether a file holds certificates of authorities. Raises: ConfigurationError."""
    if path is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"{variable}: {path} holds no certificates of authorities: {_told(error)}") from None


def check_identity(variable: str, cert: Path | None, key: Path | None) -> None:
    """Whether a certificate and its key belong together and are valid now. Raises: ConfigurationError."""
    if cert is None or key is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        # A key that is encrypted is refused, and not asked for at a terminal that nobody watches.
        context.load_cert_chain(cert, key, password="")
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"{variable}: {cert} with {key} cannot be used: {_told(error)}") from None
    _check_dates(variable, cert)


def days_left(settings: Settings) -> Iterator[tuple[str, float]]:
    """Each certificate that this installation shows to others: its variable, and the days that it is valid still."""
    shown = {
        "TEMPORAL": settings.temporal.tls_cert,
        "DATABASE": settings.database.tls_cert,
        "REDIS": settings.redis.tls_cert,
        "API": settings.api.tls_cert,
    }
    for section, path in shown.items():
        if path is not None:
            rest = _first(path).not_valid_after_utc - datetime.now(UTC)
            yield f"STRUCTFORGE_{section}__TLS_CERT", rest.total_seconds() / 86_400


def _check_dates(variable: str, path: Path) -> None:
    certificate, now = _first(path), datetime.now(UTC)
    if certificate.not_valid_after_utc < now:
        raise ConfigurationError(f"{variable}: {path} ran out on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    if certificate.not_valid_before_utc > now:
        raise ConfigurationError(f"{variable}: {path} is valid from {certificate.not_valid_before_utc:%Y-%m-%d} only")


def _first(path: Path) -> x509.Certificate:
    """The certificate itself; those after it are of authorities between."""
    return x509.load_pem_x509_certificates(path.read_bytes())[0]


def _read(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()


def _told(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else str(error)
    return text or type(error).__name__
