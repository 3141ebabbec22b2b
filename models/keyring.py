"""Where the key-encryption keys are: in the settings, or in a file that its owner alone may read.

{"active": "k-2026-03-01-1f9c", "keys": {"k-2026-03-01-1f9c": "<32 bytes in base64>"}}
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from engine.errors import ConfigurationError
from engine.settings import Settings
from models.sealing import Keyring


class Keys:
    """The keys of one process. A file is read again when it changes, so that a rotation needs no restart."""

    def __init__(self, settings: Settings) -> None:
        given = settings.encryption.keys
        self.path = settings.encryption_key_file
        self._given = None if given is None else _read(given.get_secret_value(), "STRUCTFORGE_ENCRYPTION__KEYS")
        self._seen: tuple[int, int, int] | None = None
        self._ring: Keyring | None = self._given

    @property
    def in_settings(self) -> bool:
        return self._given is not None

    def ring(self) -> Keyring:
        """The keys as they are now. Raises: ConfigurationError if there are none, or the file cannot be used."""
        if self._given is not None:
            return self._given
        try:
            status = self.path.stat()
        except FileNotFoundError:
            raise ConfigurationError(
                f"there are no encryption keys: make {self.path} by structforge credential create-key, or set "
                "STRUCTFORGE_ENCRYPTION__KEYS"
            ) from None
        seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        if self._ring is None or seen != self._seen:
            if stat.S_IMODE(status.st_mode) & 0o077:
                raise ConfigurationError(f"{self.path.name} may be read by others: chmod 600 it")
            self._ring, self._seen = _read(self.path.read_text(encoding="utf-8"), self.path.name), seen
        return self._ring


def ensure_key_file(path: Path) -> bool:
    """Make the file with a first key if it is not there; whether it was made. Several processes may do it at once."""
    if path.exists():
        return False
    ring = Keyring("first", {"first": secrets.token_bytes(32)})
    return _write_draft(path, ring, replace=False)


def write_keys(path: Path, ring: Keyring) -> bool:
    """Make a file of these keys, mode 0600, unless it is there; whether it was made. Raises: OSError."""
    return not path.exists() and _write_draft(path, ring, replace=False)


def read_keys(path: Path) -> Keyring:
    """The keys of a file. Raises: ConfigurationError if it holds none; OSError."""
    return _read(path.read_text(encoding="utf-8"), path.name)


def add_active_key(path: Path, ring: Keyring) -> Keyring:
    """Write the file with one more key, which seals from now on. Raises: OSError."""
    name = f"k-{datetime.now(UTC):%Y-%m-%d}-{secrets.token_hex(2)}"
    renewed = ring.with_new_key(name)
    _write_draft(path, renewed, replace=True)
    return renewed


def keep_only_active(path: Path, ring: Keyring) -> list[str]:
    """Write the file with the active key alone; the ids of those that went."""
    _write_draft(path, Keyring(ring.active, {ring.active: ring.keys[ring.active]}), replace=True)
    return sorted(ring.keys.keys() - {ring.active})


def _write_draft(path: Path, ring: Keyring, *, replace: bool) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(_text(ring))
        file.flush()
        os.fsync(file.fileno())
    if replace:
        draft.replace(path)
        return True
    try:
        os.link(draft, path)  # fails where a replace would overwrite what another process has just made
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def _text(ring: Keyring) -> str:
    keys = {name: base64.b64encode(key).decode() for name, key in ring.keys.items()}
    return json.dumps({"active": ring.active, "keys": keys}, indent=2) + "\n"


def _read(text: str, source: str) -> Keyring:
    wrong = ConfigurationError(f'{source} must be {{"active": ID, "keys": {{ID: 32 bytes in base64}}}}')
    try:
        tree: Any = json.loads(text)
        keys = {
            str(name): base64.b64decode(cast("str", key), validate=True)
            for name, key in cast("dict[str, Any]", tree["keys"]).items()
        }
        active = str(tree["active"])
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise wrong from None
    return Keyring(active, keys)
