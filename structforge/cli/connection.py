"""Which server a command talks to."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import ConfigurationError
from engine.settings import Settings
from structforge.devstack.folder import API_KEY_FILE, find_running

URL_VARIABLE = "STRUCTFORGE_URL"
KEY_VARIABLE = "STRUCTFORGE_API__KEY"


@dataclass(frozen=True, slots=True)
class Server:
    """An API and the key for it; `files_root` is where its tenants' files lie if that is on this machine."""

    url: str
    key: str = field(repr=False)
    files_root: Path | None = None


def find_server(settings: Settings) -> Server | None:
    """The server that STRUCTFORGE_URL names, else the one that runs on the data folder, else None.

    Raises: ConfigurationError if there is one and no key for it.
    """
    if url := os.environ.get(URL_VARIABLE):
        if not url.startswith(("http://", "https://")):
            raise ConfigurationError(f"{URL_VARIABLE} must begin with http:// or https://")
        return Server(url.rstrip("/"), _given_key(settings))
    running = find_running(settings.data_dir)
    if running is None:
        return None
    if running.api_url is None:
        hint = "wait until it prints ready"
        message = f"the server on {settings.data_dir} (pid {running.pid}) is just starting or stopping"
        raise ConfigurationError(message, details={"hint": hint})
    return Server(running.api_url, _key_of_folder(settings), settings.files_root)


async def await_server(settings: Settings) -> Server | None:
    """The same, but a server that is just starting is waited for, as long as it may take to start."""
    deadline = time.monotonic() + settings.embedded.start_timeout_s
    while os.environ.get(URL_VARIABLE) is None and time.monotonic() < deadline:
        running = find_running(settings.data_dir)
        if running is None or running.api_url is not None:
            break
        await asyncio.sleep(0.2)
    return find_server(settings)


def required_server(settings: Settings) -> Server:
    """The same for commands that make no sense without one. Raises: ConfigurationError."""
    server = find_server(settings)
    if server is None:
        hint = f"start one with structforge up, or name one by {URL_VARIABLE}"
        raise ConfigurationError(f"no server runs on {settings.data_dir}", details={"hint": hint})
    return server


def _given_key(settings: Settings) -> str:
    if settings.api.key is None:
        raise ConfigurationError(f"{URL_VARIABLE} is set, but {KEY_VARIABLE} is not")
    return settings.api.key.get_secret_value()


def _key_of_folder(settings: Settings) -> str:
    if settings.api.key is not None:
        return settings.api.key.get_secret_value()
    path = settings.data_dir / API_KEY_FILE
    try:
        return path.read_text().strip()
    except OSError as error:
        raise ConfigurationError(f"the API key {path} cannot be read: {error.strerror}") from None
