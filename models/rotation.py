"""A rotation of keys: every credential's data key is brought under the active key, a batch at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from models.repositories.credentials import KeyRotation, binding_of, sealed_of
from models.sealing import Keyring, SealBroken
from models.session import Database

BATCH = 200


@dataclass(slots=True)
class Rotated:
    """What a rotation came to. `remaining` counts credentials that other keys wrap still, the unreadable ones too."""

    active: str
    rewrapped: int = 0
    unreadable: list[UUID] = field(default_factory=list[UUID])
    remaining: int = 0


async def rewrap_all(database: Database, keys: Keyring) -> Rotated:
    """Bring all credentials of all tenants under the active key.

    Each is one statement of its own, so that it may be broken off and run again. What does not open is left as it is.
    """
    rotation = KeyRotation(database)
    done = Rotated(keys.active)
    while rows := await rotation.not_wrapped_by(keys.active, limit=BATCH, without=done.unreadable):
        for row in rows:
            try:
                sealed = keys.rewrap(sealed_of(row), binding_of(row))
            except SealBroken:
                done.unreadable.append(row.id)
                continue
            done.rewrapped += await rotation.rewrap(row, sealed)
    counts = await rotation.key_ids()
    done.remaining = sum(count for name, count in counts.items() if name != keys.active)
    return done
