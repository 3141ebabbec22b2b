"""Mail addresses, read strictly: what could begin another header or another command is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from email.headerregistry import Address, HeaderRegistry
from typing import Any, cast

import idna

_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
_LONGEST = 320
_registry = HeaderRegistry()


def read_addresses(texts: str | Sequence[str], what: str) -> list[Address]:
    """`ada@shop.example`, `Ada <ada@shop.example>`, several in one text with commas between, or a list of these.

    Raises: ValueError naming `what` and the address that is none.
    """
    found: list[Address] = []
    for text in [texts] if isinstance(texts, str) else texts:
        found += _read(text, what)
    return found


def plain_addresses(addresses: Iterable[Address]) -> list[str]:
    """What the envelope holds; each address once."""
    return list(dict.fromkeys(address.addr_spec for address in addresses))


def single_line(text: str, what: str) -> str:
    """Raises: ValueError for a line break or another control character."""
    if any(ord(character) < 32 or ord(character) in (127, 0x85, 0x2028, 0x2029) for character in text):
        raise ValueError(f"{what} holds a line break or a control character")
    return text


def _read(text: str, what: str) -> list[Address]:
    single_line(text, what)
    try:
        header = cast("Any", _registry("to", text))
        addresses = cast("Sequence[Address]", header.addresses)
    except (ValueError, IndexError, AttributeError):  # some of what is no address breaks the parser
        raise _invalid(text, what) from None
    if not addresses or header.defects or any(group.display_name is not None for group in header.groups):
        raise _invalid(text, what)
    return [_checked(address, text, what) for address in addresses]


def _checked(address: Address, text: str, what: str) -> Address:
    try:
        # Not Python's own codec, which is of 2003 and makes grüße and grüsse the same domain.
        domain = idna.encode(address.domain, uts46=True).decode("ascii")
    except idna.IDNAError:
        raise _invalid(text, what) from None
    plain = f"{address.username}@{domain}"
    if not (_LOCAL.fullmatch(address.username) and _DOMAIN.fullmatch(domain) and len(plain) <= _LONGEST):
        raise _invalid(text, what)
    return Address(single_line(address.display_name, what), address.username, domain)


def _invalid(text: str, what: str) -> ValueError:
    return ValueError(f"{what}: {text[:80]!r} is no address: write ada@shop.example or Ada <ada@shop.example>")
