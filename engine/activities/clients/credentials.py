"""Credentials by name, read inside activities alone: a tenant's own first, then those of the operator's file.

    shop-api: {type: bearer, token: "...", allowed_hosts: [shop.example]}
    ledger: {type: basic, username: books, password: "..."}
    maps: {type: api_key, value: "...", header: x-api-key}
    partner: {type: hmac, secret: "whsec_..."}
    crm: {type: oauth2_client_credentials, token_url: "https://id.example/token", client_id: us, client_secret: "..."}
    books: {type: connection, url: "postgresql://reader:...@db.example/books?sslmode=verify-full"}
    post: {type: smtp, host: mail.example, username: robot@shop.example, password: "...", security: starttls}

What an operator writes is trusted: such a credential may name an internal address. A tenant's is not. The file must be
readable by its owner alone. It is read again when it changes; no secret leaves this process except in the request that
it signs.
"""

from __future__ import annotations

import stat
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any, Protocol, cast

import yaml

from engine.activities.clients.oauth2 import OAUTH2, AccessTokens
from engine.errors import ACCESS_DENIED, CREDENTIAL_UNREADABLE, ConfigurationError, NodeError
from engine.nodes.base import Credential
from engine.nodes.credential_types import CREDENTIAL_TYPES, field_issues, needs_hosts
from engine.nodes.ports import HttpPort
from engine.settings import Settings
from models.keyring import Keys
from models.repositories.credentials import Credentials, binding_of, sealed_of
from models.sealing import SealBroken
from models.session import Database
from models.tables import Credential as Row
from models.tenancy import TenantId

REMEMBER_S = 3.0
REMEMBER_NONE_S = 1.0
MAX_REMEMBERED = 2000
UNAUTHORIZED = 401


class CredentialSource(Protocol):
    """Credentials of tenants by name; `CredentialStore` is the real one."""

    async def get(self, tenant: TenantId | None, name: str) -> Credential: ...

    async def renewed(self, tenant: TenantId, credential: Credential, error: NodeError) -> Credential | None: ...


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

    def has(self, name: str) -> bool:
        """Whether the file, if it can be used, has a credential of that name."""
        try:
            self._refresh()
        except (ConfigurationError, OSError):
            return False
        return name in self._credentials

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
    given = cast("dict[str, Any]", entry)
    kind = CREDENTIAL_TYPES.get(str(given.get("type")))
    if kind is None:
        raise ConfigurationError(f"{source}: the type of {name} must be one of {', '.join(CREDENTIAL_TYPES)}")
    fields = {key: value for key, value in given.items() if key not in ("type", "allowed_hosts")}
    for issue in field_issues(kind, fields):
        wrong = f"{issue.path} of {name}" if issue.path else name
        raise ConfigurationError(f"{source}: {wrong} {issue.message}")
    hosts = given.get("allowed_hosts", [])
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in cast("list[Any]", hosts)):
        raise ConfigurationError(f"{source}: allowed_hosts of {name} must be a list of host names")
    return cast("Credential", {**given, "name": name, "trusted": True})


class CredentialStore:
    """Fulfils `CredentialSource` for all tenants of one process.

    What is known of a name is believed for `REMEMBER_S`, so that a replaced, deleted or withdrawn credential is out of
    use after that at the latest.
    """

    def __init__(self, file: CredentialFile, database: Database, keys: Keys, tokens: AccessTokens) -> None:
        self._file = file
        self._rows = Credentials(database)
        self._keys = keys
        self._tokens = tokens
        self._known: OrderedDict[tuple[TenantId, str], tuple[Credential | None, float]] = OrderedDict()

    async def get(self, tenant: TenantId | None, name: str) -> Credential:
        """The credential of that name (the operator's if there is no tenant), ready to be sent: an OAuth 2.0 client
        is the bearer token that was fetched for it.

        Raises: NodeError ACCESS_DENIED if there is none, CREDENTIAL_UNREADABLE if it does not open, and what fetching
        a token raises; SystemFault. No message names a secret.
        """
        credential = await self.kept(tenant, name)
        if credential["type"] == OAUTH2:
            return await self._tokens.bearer(_owner(tenant, credential), credential)
        return credential

    async def kept(self, tenant: TenantId | None, name: str) -> Credential:
        """The same as it is kept, for those who compare with it: nothing is fetched. Raises: as `get`."""
        found = None if tenant is None else await self._stored(tenant, name)
        return self._file.get(name) if found is None else found

    async def renewed(self, tenant: TenantId, credential: Credential, error: NodeError) -> Credential | None:
        """Another token, if the error says that the receiver refused one that has been used before; else None."""
        if error.details.get("status") != UNAUTHORIZED or not self._tokens.forget(
            _owner(tenant, credential), credential
        ):
            return None
        return await self.get(tenant, credential.get("name", ""))

    async def _stored(self, tenant: TenantId, name: str) -> Credential | None:
        found, until = self._known.get((tenant, name), (None, 0.0))
        if until > time.monotonic():
            return found
        row = (await self._rows.named(tenant, [name])).get(name)
        credential = None if row is None else self._opened(row)
        remember_s = REMEMBER_NONE_S if row is None else REMEMBER_S
        self._known[tenant, name] = (credential, time.monotonic() + remember_s)
        self._known.move_to_end((tenant, name))
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        return credential

    def _opened(self, row: Row) -> Credential:
        try:
            fields = self._keys.ring().open(sealed_of(row), binding_of(row))
        except (SealBroken, ConfigurationError) as error:
            message = f"the credential {row.name!r} cannot be read: {error.message}"
            raise NodeError(message, code=CREDENTIAL_UNREADABLE, details={"credential": row.name}) from None
        known = {"name": row.name, "type": row.type, "version": f"{row.id}:{row.version}", "trusted": False}
        # Where the fields say where it goes, an empty list would bind it to nothing at all.
        bound = {"allowed_hosts": list(row.allowed_hosts)} if row.allowed_hosts or needs_hosts(row.type) else {}
        return cast("Credential", {**fields, **known, **bound})


def open_credentials(settings: Settings, database: Database, http: HttpPort) -> CredentialStore:
    """The credentials of this process, tokens fetched by its guarded HTTP client."""
    return CredentialStore(CredentialFile(settings.credentials_file), database, Keys(settings), AccessTokens(http))


def _owner(tenant: TenantId | None, credential: Credential) -> str:
    """Whose token it is: the operator's is one for all tenants."""
    return "" if credential.get("trusted") is True else str(tenant)
