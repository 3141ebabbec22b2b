"""Ports on the loopback address."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import BaseModel

from engine.errors import ConfigurationError
from engine.settings import ENV_DELIMITER, ENV_PREFIX, Settings

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class PortRequest:
    """A port setting: section and field of `Settings`."""

    section: str
    field: str

    @property
    def variable(self) -> str:
        return f"{ENV_PREFIX}{self.section.upper()}{ENV_DELIMITER}{self.field.upper()}"


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # As servers do: a connection of the last server that still fades away is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def choose_ports(settings: Settings, requests: Iterable[PortRequest]) -> dict[str, dict[str, int]]:
    """A free port for each request, all different, as changes for `Settings.override`.

    A port that was asked for by name must be free; a default that is taken, and 0, become any free port.
    Raises: ConfigurationError naming the variable whose port is taken.
    """
    chosen: dict[str, dict[str, int]] = {}
    with contextlib.ExitStack() as held:
        for request in requests:
            section: BaseModel = getattr(settings, request.section)
            wanted: int = getattr(section, request.field)
            explicit = request.field in section.model_fields_set
            port = _choose(wanted, explicit, request.variable, held)
            chosen.setdefault(request.section, {})[request.field] = port
    return chosen


def _choose(wanted: int, explicit: bool, variable: str, held: contextlib.ExitStack) -> int:
    if wanted and is_free(wanted):
        return wanted
    if wanted and explicit:
        raise ConfigurationError(f"{variable}: port {wanted} is in use; free it or set the variable to 0")
    # The probe stays open until all ports are chosen: the kernel may otherwise offer the same one twice.
    probe = held.enter_context(socket.socket())
    probe.bind((LOOPBACK, 0))
    return int(probe.getsockname()[1])
