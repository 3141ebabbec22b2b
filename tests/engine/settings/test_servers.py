"""TLS in the settings of the servers: when it is on, and what the URLs then say."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from engine.errors import ConfigurationError
from engine.settings import load_settings
from engine.settings.servers import DatabaseSettings, RedisSettings

FILES = {"tls_ca": Path("/etc/ca file.pem"), "tls_cert": Path("/etc/c.pem"), "tls_key": Path("/etc/k.pem")}


def said(url: SecretStr | None) -> tuple[str, dict[str, str]]:
    assert url is not None
    parts = urlsplit(url.get_secret_value())
    return parts.scheme, {name: values[0] for name, values in parse_qs(parts.query).items()}


def test_urls_stay_as_they_are_without_tls() -> None:
    url = SecretStr("postgresql://u:p%40@h/d?sslmode=require")
    assert DatabaseSettings(url=url).url == url
    assert RedisSettings(url=SecretStr("redis://h/0")).url == SecretStr("redis://h/0")


def test_postgresql_verifies_chain_and_name() -> None:
    settings = DatabaseSettings.model_validate(
        {
            "url": "postgresql://u:p%40@h/d?sslmode=disable&application_name=x",
            "owner_url": "postgresql://o@h/d",
            **FILES,
        }
    )
    files = {"sslrootcert": "/etc/ca file.pem", "sslcert": "/etc/c.pem", "sslkey": "/etc/k.pem"}
    assert said(settings.url) == ("postgresql", {"application_name": "x", "sslmode": "verify-full", **files})
    assert said(settings.owner_url) == ("postgresql", {"sslmode": "verify-full", **files})
    assert "u:p%40@h" in (settings.url or SecretStr("")).get_secret_value()


def test_redis_verifies_chain_and_name() -> None:
    settings = RedisSettings.model_validate({"url": "redis://:p@h:1/2", **FILES})
    scheme, query = said(settings.url)
    assert scheme == "rediss"
    assert query["ssl_ca_certs"] == "/etc/ca file.pem"
    assert (query["ssl_cert_reqs"], query["ssl_check_hostname"]) == ("required", "true")


def test_a_change_of_other_settings_leaves_the_urls_alone() -> None:
    settings = load_settings(redis={"url": "redis://h/0", **FILES}, database={"url": "postgresql://u@h/d", **FILES})
    again = settings.override({"api": {"port": 1}})
    assert (again.redis.url, again.database.url) == (settings.redis.url, settings.database.url)


def test_another_authority_replaces_the_first_one() -> None:
    settings = load_settings(redis={"url": "redis://h/0", **FILES})
    assert (
        said(settings.override({"redis": {"tls_ca": Path("/other.pem")}}).redis.url)[1]["ssl_ca_certs"] == "/other.pem"
    )


@pytest.mark.parametrize("section", ["redis", "database", "temporal", "api"])
def test_a_certificate_without_its_key_is_refused(section: str) -> None:
    with pytest.raises(ConfigurationError, match=f"STRUCTFORGE_{section.upper()}.*tls_cert and tls_key go together"):
        load_settings(**{section: {"tls_cert": "/c.pem"}})


def test_postgresql_over_tls_needs_its_authorities_named() -> None:
    with pytest.raises(ConfigurationError, match=r"STRUCTFORGE_DATABASE: .*needs tls_ca"):
        load_settings(database={"url": "postgresql://u@h/d", "tls": True})


def test_the_api_has_an_https_address_with_a_certificate() -> None:
    assert load_settings(api={"tls_cert": "/c", "tls_key": "/k", "port": 1}).api.url == "https://127.0.0.1:1"


def test_sections_hold_no_path_of_a_key_as_a_secret_and_no_query_in_what_is_shown() -> None:
    shown = load_settings(redis={"url": "redis://:hidden@h/0", **FILES}).redacted()["redis"]
    assert shown["url"] == "rediss://:**********@h/0"
    assert shown["tls_key"] == "/etc/k.pem"
