"""Credentials that the operator keeps in a file: name to a typed secret, read inside activities alone.

    shop-api: {type: bearer, token: "...", allowed_hosts: [shop.example]}
    ledger: {type: basic, username: books, password: "..."}
    maps: {type: api_key, value: "...", header: x-api-key}
    partner: {type: hmac, secret: "whsec_..."}
    books: {type: connection, url: "postgresql://reader:...@db.example/books?sslmode=verify-full"}
    post: {type: smtp, host: mail.example, username: robot@shop.example, password: "...", security: starttls}

What an operator writes is trusted: such a credential may name an internal address. The file must be readable by its
owner alone. It is read again when it changes; no secret leaves this process except in the request that it signs.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from engine.errors import ACCESS_DENIED, ConfigurationError, NodeError
from engine.nodes.base import Credential

_Check = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_port(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536


def _is_security(value: Any) -> bool:
    return value in ("starttls", "tls", "none")


_CHECKS: Mapping[str, tuple[_Check, str]] = {
    "port": (_is_port, "a port number"),
    "security": (_is_security, "starttls, tls or none"),
}


@dataclass(frozen=True, slots=True)
class _Fields:
    """What a credential of one type has beside `type` and `allowed_hosts`; it is text but for what `_CHECKS` names."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = field(default=())


_FIELDS: Mapping[str, _Fields] = {
    "api_key": _Fields(("value",), ("header", "query", "prefix")),
    "bearer": _Fields(("token",)),
    "basic": _Fields(("username", "password")),
    "hmac": _Fields(("secret",)),
    "connection": _Fields(("url",)),
    "smtp": _Fields(("host",), ("port", "username", "password", "security", "from_address")),
}
TYPES = tuple(_FIELDS)


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
    _check_fields(name, fields, source)
    hosts = fields.get("allowed_hosts", [])
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in cast("list[Any]", hosts)):
        raise ConfigurationError(f"{source}: allowed_hosts of {name} must be a list of host names")
    return cast("Credential", {**fields, "name": name, "trusted": True})


def _check_fields(name: str, fields: Mapping[str, Any], source: str) -> None:
    expected = _FIELDS[fields["type"]]
    known = (*expected.required, *expected.optional)
    unknown = sorted(map(str, fields.keys() - {"type", "allowed_hosts", *known}))
    if unknown:
        raise ConfigurationError(
            f"{source}: {name} has unknown fields: {', '.join(unknown)}; known: {', '.join(known)}"
        )
    missing = [key for key in expected.required if not fields.get(key)]
    if missing:
        raise ConfigurationError(f"{source}: {name} of type {fields['type']} needs {', '.join(missing)}")
    for key in known:
        check, form = _CHECKS.get(key, (_is_text, "text"))
        if key in fields and not check(fields[key]):
            raise ConfigurationError(f"{source}: {key} of {name} must be {form}")
