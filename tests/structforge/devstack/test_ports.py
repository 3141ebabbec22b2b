"""Choosing ports: a wish is kept or refused, a default gives way."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from engine.errors import ConfigurationError
from engine.settings import Settings
from engine.settings.api import ApiSettings
from structforge.devstack.ports import PortRequest, choose_ports, is_free

API = PortRequest("api", "port")
EMBEDDED = [PortRequest("embedded", name) for name in ("temporal_http_port", "temporal_metrics_port")]


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_zero_becomes_free_ports_that_differ() -> None:
    chosen = choose_ports(Settings(), EMBEDDED)["embedded"]
    assert len(set(chosen.values())) == 2
    assert all(is_free(port) for port in chosen.values())


def test_free_wish_is_kept(taken: int) -> None:
    assert not is_free(taken)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    assert choose_ports(Settings(api=ApiSettings(port=free)), [API]) == {"api": {"port": free}}


def test_taken_wish_is_refused_by_name(taken: int) -> None:
    with pytest.raises(ConfigurationError, match=f"STRUCTFORGE_API__PORT: port {taken} is in use"):
        choose_ports(Settings(api=ApiSettings(port=taken)), [API])


def test_taken_default_gives_way(taken: int) -> None:
    # As if the taken port were the default: it holds the value, and nobody has set it.
    default = ApiSettings.model_construct(_fields_set=set(), port=taken, host="127.0.0.1", key=None)
    chosen = choose_ports(Settings.model_construct(api=default), [API])["api"]["port"]
    assert chosen != taken
    assert is_free(chosen)
