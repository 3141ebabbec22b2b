"""Passwords: what is a good one, and Argon2 without exhausting the machine.

One computation takes 64 MiB and about a tenth of a second of a processor, so few run at a time, in threads; the rest
waits, and what would wait too long is turned away.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import TypeVar

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher

from engine.errors import RESOURCE_EXHAUSTED, Issue, StructForgeError, ValidationFailed

Result = TypeVar("Result")

MAX_LENGTH = 256  # of characters; Argon2 would take more, and no person types it
MIN_DISTINCT = 5
MAX_WAITING = 100
# The commonest ones that are long enough; shorter ones are refused for their length.
_COMMON = frozenset(
    {
        "123456789012", "1234567890123", "12345678901234", "123456789123", "012345678910", "0123456789ab",
        "password1234", "password12345", "password123456", "passwordpassword", "passw0rd1234", "p@ssw0rd1234",
        "qwertyuiop12", "qwertyuiop123", "qwertyuiopasdf", "qwerty123456", "qwertyqwerty", "1q2w3e4r5t6y",
        "1qaz2wsx3edc", "zaq12wsxcde3", "asdfghjkl123", "abcdefghijkl", "abcdef123456", "abc123456789",
        "letmein12345", "letmeinletmein", "iloveyou1234", "iloveyouforever", "welcome12345", "welcomewelcome",
        "administrator", "administrator1", "adminadmin12", "admin1234567", "admin12345678", "changeme1234",
        "changemechangeme", "correcthorsebatterystaple", "structforge1", "structforge123", "trustno1trustno1",
        "monkey123456", "dragon123456", "football1234", "baseball1234", "sunshine1234", "princess1234",
        "superman1234", "michael12345", "charlie12345", "whatever1234", "starwars1234", "computer1234",
        "internet1234", "summer2024!!", "winter2024!!", "spring2025!!", "autumn2025!!", "password2024", "password2025",
        "password2026", "mypassword12", "mypassword123", "secretsecret", "secret123456", "default12345",
        "unknown12345", "testtest1234", "test12345678", "guest1234567", "root12345678", "111222333444", "112233445566",
    }
)  # fmt: skip


def check_password(password: str, email: str, *, min_length: int, path: str = "password") -> None:
    """Raises: ValidationFailed saying what would make it a good one."""
    reason = _weakness(password, email, min_length)
    if reason is not None:
        raise ValidationFailed([Issue("INVALID_VALUE", path, reason)], "the password is not good enough")


def _weakness(password: str, email: str, min_length: int) -> str | None:
    plain = password.strip().lower()
    if len(password) < min_length:
        return f"a password has {min_length} characters at least"
    if len(password) > MAX_LENGTH:
        return f"a password has {MAX_LENGTH} characters at most"
    if len(set(plain)) < MIN_DISTINCT:
        return f"a password has {MIN_DISTINCT} different characters at least"
    if plain in _COMMON:
        return "everybody has this password; take another"
    local = email.partition("@")[0].lower()
    if plain == email.lower() or (len(local) >= 4 and local in plain and len(plain) < len(local) + 8):
        return "a password is something else than the address"
    return None


class Passwords:
    """Hashes and compares, at most `at_once` at a time."""

    def __init__(self, at_once: int) -> None:
        self._hasher = PasswordHash((Argon2Hasher(),))
        self._slots = asyncio.Semaphore(at_once)
        self._waiting = 0
        self._nobodys: str | None = None

    async def hash(self, password: str) -> str:
        """Raises: StructForgeError RESOURCE_EXHAUSTED if too many wait."""
        return await self._compute(self._hasher.hash, password)

    async def verify(self, password: str, hashed: str | None) -> tuple[bool, str | None]:
        """Whether the password fits, and a hash to store in place of one that was made with older parameters.

        Without a hash it takes as long and says no. Raises: StructForgeError RESOURCE_EXHAUSTED if too many wait.
        """
        if len(password) > MAX_LENGTH:
            return False, None
        fits, renewed = await self._compute(self._verify, password, hashed)
        return (fits and hashed is not None), renewed

    def _verify(self, password: str, hashed: str | None) -> tuple[bool, str | None]:
        if hashed is None:
            self._nobodys = hashed = self._nobodys or self._hasher.hash(secrets.token_urlsafe(32))
        try:
            return self._hasher.verify_and_update(password, hashed)
        except UnknownHashError:
            return False, None

    async def _compute(self, work: Callable[..., Result], *arguments: str | None) -> Result:
        if self._waiting >= MAX_WAITING:
            raise StructForgeError("too many people sign in at this moment; try again soon", code=RESOURCE_EXHAUSTED)
        self._waiting += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(work, *arguments)
        finally:
            self._waiting -= 1
