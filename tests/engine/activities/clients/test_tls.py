"""Certificate files: what can be used, and how each mistake is named."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from engine.activities.clients.tls import (
    check_api,
    check_client,
    context_for_own_api,
    days_left,
    temporal_tls,
    tls_options,
)
from engine.errors import ConfigurationError
from engine.settings import load_settings
from engine.settings.api import ApiSettings
from engine.settings.servers import DatabaseSettings, RedisSettings, TemporalSettings
from tests.security.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.make(tmp_path, "ours")


def test_without_files_there_is_no_tls() -> None:
    assert temporal_tls(TemporalSettings()) is None
    assert tls_options(ApiSettings()) == {}
    assert context_for_own_api(ApiSettings()) is None


def test_temporal_gets_what_the_files_hold(authority: Authority) -> None:
    pair = authority.issue("client", "client.example")
    config = temporal_tls(TemporalSettings.model_validate({"tls_ca": authority.ca, "tls_server_name": "t", **pair}))
    assert config is not None
    assert config.server_root_ca_cert == authority.ca.read_bytes()
    assert (config.client_cert, config.client_private_key) == tuple(path.read_bytes() for path in pair.values())
    assert config.domain == "t"


def test_temporal_over_tls_with_the_authorities_of_the_system() -> None:
    config = temporal_tls(TemporalSettings(tls=True))
    assert config is not None
    assert config.server_root_ca_cert is None


def test_tls_false_wins_over_files(authority: Authority) -> None:
    assert temporal_tls(TemporalSettings(tls=False, tls_ca=authority.ca)) is None


def test_a_file_that_is_not_there_is_named_with_its_variable(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"STRUCTFORGE_TEMPORAL__TLS_CA: .*none\.pem .*No such file"):
        temporal_tls(TemporalSettings(tls_ca=tmp_path / "none.pem"))


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("no certificate")
    with pytest.raises(ConfigurationError, match="STRUCTFORGE_REDIS__TLS_CA"):
        check_client("REDIS", RedisSettings(tls_ca=tmp_path / "x.pem"))


def test_a_key_of_another_certificate_is_refused(authority: Authority) -> None:
    one, other = authority.issue("one"), authority.issue("other")
    with pytest.raises(ConfigurationError, match=r"STRUCTFORGE_API__TLS_CERT: .*cannot be used"):
        check_api(ApiSettings(tls_cert=one["tls_cert"], tls_key=other["tls_key"]))


def test_a_key_with_a_password_is_refused_without_asking(authority: Authority) -> None:
    pair = authority.issue("locked")
    key = load_pem_private_key(pair["tls_key"].read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    pair["tls_key"].write_bytes(locked)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        check_api(ApiSettings.model_validate(pair))


@pytest.mark.parametrize(("days", "why"), [((-20, -10), "ran out on"), ((10, 20), "is valid from")])
def test_a_certificate_out_of_its_time_is_refused(authority: Authority, days: tuple[int, int], why: str) -> None:
    begin, end = (datetime.now(UTC) + timedelta(days=one) for one in days)
    pair = authority.issue("old", "old.example", not_before=begin, not_after=end)
    with pytest.raises(ConfigurationError, match=why):
        check_client("DATABASE", DatabaseSettings.model_validate({"tls_ca": authority.ca, **pair}))


def test_days_that_are_left_are_counted(authority: Authority) -> None:
    pair = authority.issue("api", not_after=datetime.now(UTC) + timedelta(days=3, hours=1))
    assert [(name, int(days)) for name, days in days_left(load_settings(api=pair))] == [
        ("STRUCTFORGE_API__TLS_CERT", 3)
    ]


def test_the_api_demands_certificates_only_if_it_is_told_whose(authority: Authority) -> None:
    pair = authority.issue("api")
    assert tls_options(ApiSettings.model_validate(pair))["ssl_cert_reqs"] == ssl.CERT_NONE
    mutual = tls_options(ApiSettings.model_validate({**pair, "tls_client_ca": authority.ca}))
    assert (mutual["ssl_cert_reqs"], mutual["ssl_ca_certs"]) == (ssl.CERT_REQUIRED, str(authority.ca))
