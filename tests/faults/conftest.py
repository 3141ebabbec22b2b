"""Fault runs use the data folders of the embedded servers, and no server of the person who runs them."""

from tests.structforge.devstack.conftest import (
    _no_external_servers,  # pyright: ignore[reportPrivateUsage]  # a fixture that pytest finds by its name
    data_dir,
)

__all__ = ["_no_external_servers", "data_dir"]
