"""Places for work that may take long, shared so that one owner never holds them all."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class _Waiter:
    owner: str
    admitted: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class FairSlots:
    """`size` places; one owner holds at most half of them (at least one), and the first who may enter enters first."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._share = max(1, size // 2)
        self._held: Counter[str] = Counter()
        self._waiting: list[_Waiter] = []

    @asynccontextmanager
    async def hold(self, owner: str) -> AsyncGenerator[None]:
        """Wait for a place and hold it."""
        await self.acquire(owner)
        try:
            yield
        finally:
            self.release(owner)

    async def acquire(self, owner: str) -> None:
        """Wait for a place; give it back with `release`."""
        waiter = _Waiter(owner)
        self._waiting.append(waiter)
        self._admit()
        try:
            await waiter.admitted
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif not waiter.admitted.cancelled():  # admitted and cancelled in the same turn of the loop
                self.release(owner)
            raise

    def release(self, owner: str) -> None:
        """Give back a place."""
        self._free += 1
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        self._admit()

    def _admit(self) -> None:
        for waiter in [*self._waiting]:
            if not self._free:
                return
            if self._held[waiter.owner] < self._share and not waiter.admitted.done():
                self._waiting.remove(waiter)
                self._free -= 1
                self._held[waiter.owner] += 1
                waiter.admitted.set_result(None)
