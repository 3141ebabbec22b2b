"""Credentials that the operator keeps in a file: name to a typed secret, read inside activities alone.

    shop-api: {type: bearer, token: "...", allowed_hosts: [shop.example]}
    ledger: {type: basic, username: books, password: "..."}
    maps: {type: api_key, value: "...", header: x-api-key}

The file must be readable by its owner alone. It is read again when it changes; no secret leaves this process except in
the request that it signs.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any, cast

import yaml

from engine.errors import ACCESS_DENIED, ConfigurationError, NodeError
from engine.nodes.base import Credential

TYPES = ("api_key", "bearer", "basic")
_TEXTS = ("value", "header", "query", "prefix", "token", "username", "password")


class CredentialFile:
    """The credentials of one file; a file that is not there holds none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at: tuple[int, int] | None = None
        self._credentials: dict[str, Credential] = {}

    def get(self, name: str) -> Credential:
        """The credential of that name.

        Raises: NodeError ACCESS_DENIED if there is none, or the file cannot be used; the message names no secret.
        """
        try:
            self._refresh()
        except ConfigurationError as error:
            raise NodeError(error.message, code=ACCESS_DENIED) from None
        found = self._credentials.get(name)
        if found is None:
            message = f"no credential is called {name!r}: the operator adds it to {self._path.name}"
            raise NodeError(message, code=ACCESS_DENIED, details={"credential": name})
        return found

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._read_at, self._credentials = None, {}
            return
        seen = (status.st_mtime_ns, status.st_size)
        if seen != self._read_at:
            if stat.S_IMODE(status.st_mode) & 0o077:
                raise ConfigurationError(f"{self._path.name} may be read by others: chmod 600 it")
            self._credentials = read_credentials(self._path.read_text(encoding="utf-8"), self._path.name)
            self._read_at = seen


def read_credentials(text: str, source: str) -> dict[str, Credential]:
    """Credentials by name. Raises: ConfigurationError that names the entry and never a value."""
    try:
        tree: Any = yaml.safe_load(text) or {}
    except yaml.YAMLError:
        raise ConfigurationError(f"{source} is no YAML mapping of names to credentials") from None
    if not isinstance(tree, dict):
        raise ConfigurationError(f"{source} is no YAML mapping of names to credentials")
    return {str(name): _credential(str(name), entry, source) for name, entry in cast("dict[Any, Any]", tree).items()}


def _credential(name: str, entry: Any, source: str) -> Credential:
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{source}: {name} must be a mapping with a type")
    fields = cast("dict[str, Any]", entry)
    if fields.get("type") not in TYPES:
        raise ConfigurationError(f"{source}: the type of {name} must be one of {', '.join(TYPES)}")
    unknown = sorted(map(str, fields.keys() - {"type", "allowed_hosts", *_TEXTS}))
    if unknown:
        raise ConfigurationError(f"{source}: {name} has unknown fields: {', '.join(unknown)}")
    if not all(isinstance(fields[key], str) for key in _TEXTS if key in fields):
        raise ConfigurationError(f"{source}: every field of {name} must be text")
    hosts = fields.get("allowed_hosts", [])
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in cast("list[Any]", hosts)):
        raise ConfigurationError(f"{source}: allowed_hosts of {name} must be a list of host names")
    return cast("Credential", {"name": name, **fields})
