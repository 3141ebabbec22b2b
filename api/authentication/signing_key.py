"""The key that signs access tokens: from the settings, else from a file in the data folder that is made once."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from engine.errors import ConfigurationError
from engine.settings import Settings

KEY_FILE = "token.key"
VARIABLE = "STRUCTFORGE_AUTH__TOKEN_KEY"
MIN_BYTES = 32
MIN_DISTINCT = 10
# What documentation, examples and other products print in place of a secret.
_KNOWN = ("secret", "changeme", "change-me", "change_me", "password", "example", "default", "your-", "test-key")


def signing_key(settings: Settings) -> bytes:
    """The key of this installation; every API process needs the same.

    Raises: ConfigurationError if it is short or well known, or the file cannot be used.
    """
    given = settings.auth.token_key
    if given is not None:
        return checked_key(given.get_secret_value(), VARIABLE)
    path = settings.data_dir / KEY_FILE
    try:
        if not path.exists():
            _make(path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigurationError(f"{path.name} may be read by others: chmod 600 it")
        return checked_key(path.read_text("utf-8").strip(), path.name)
    except OSError as error:
        reason = f"{path.name} in the data folder cannot be used: {error.strerror}"
        raise ConfigurationError(f"{reason}; set {VARIABLE} in its place") from None


def checked_key(text: str, source: str) -> bytes:
    """The key as bytes. Raises: ConfigurationError saying what is wrong with it."""
    key = text.encode()
    if len(key) < MIN_BYTES:
        raise ConfigurationError(f"{source}: a signing key has {MIN_BYTES} bytes at least")
    if len(set(key)) < MIN_DISTINCT or any(known in text.lower() for known in _KNOWN):
        raise ConfigurationError(f"{source}: this signing key can be guessed; take random bytes")
    return key


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)  # fails where a rename would replace what another process has just made
    except FileExistsError:
        pass
    finally:
        draft.unlink()
