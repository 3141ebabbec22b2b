"""Executions that are started over the API as a careful caller starts them: under a key, again until it is answered."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx2

from engine.errors import StructForgeError
from models.session import Database
from tests.faults.installation import Installation, Tenancy

FIRST_INPUT = 1000
AT_ONCE = 16  # requests
AGAIN_AFTER_S = 0.2
ANSWER_S = 120  # until which a start must have been answered, tries included
AWAY = frozenset({429, 503})  # what the API may say while something is away

_OPEN = "SELECT count(*) FROM execution WHERE tenant_id = $1 AND finished_at IS NULL"


@dataclass(slots=True)
class Load:
    """Starts of one workflow. `answered` maps each execution that was answered 2xx to its input `n`; times are seconds
    since the epoch."""

    tenancy: Tenancy
    workflow: UUID
    input_of: Callable[[int], Any] = lambda n: {"n": n}
    answered: dict[UUID, int] = field(default_factory=dict[UUID, int])
    asked_at: dict[int, float] = field(default_factory=dict[int, float])
    answers: Counter[str] = field(default_factory=Counter[str])
    problems: list[str] = field(default_factory=list[str])
    _gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    _tasks: list[asyncio.Task[None]] = field(default_factory=list["asyncio.Task[None]"])
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(FIRST_INPUT))
    _prefix: str = field(default_factory=lambda: uuid4().hex)

    @property
    def begun(self) -> int:
        return len(self._tasks)

    def start(self, count: int) -> None:
        """Begin so many starts; they go on until each is answered."""
        for number in itertools.islice(self._numbers, count):
            self._tasks.append(asyncio.create_task(self._start(number)))

    async def all_answered(self) -> None:
        await asyncio.gather(*self._tasks)

    async def _start(self, n: int) -> None:
        async with self._gate:
            self.asked_at[n] = time.time()
            try:
                async with asyncio.timeout(ANSWER_S):
                    while not await self._is_answered(n):  # noqa: ASYNC110  the API is a process of its own
                        await asyncio.sleep(AGAIN_AFTER_S)
            except TimeoutError:
                self.problems.append(f"the start with {n} was not answered within {ANSWER_S} s")

    async def _is_answered(self, n: int) -> bool:
        try:
            answer = await self.tenancy.client.post(
                f"/workflows/{self.workflow}/execute",
                json={"input": self.input_of(n)},
                headers={"Idempotency-Key": f"{self._prefix}-{n}"},
            )
        except httpx2.HTTPError as error:
            self.answers[type(error).__name__] += 1
            return False
        self.answers[str(answer.status_code)] += 1
        if answer.is_success:
            self._take(UUID(answer.json()["id"]), n)
            return True
        if answer.status_code not in AWAY:
            self.problems.append(f"a start was answered {answer.status_code}: {answer.text[:300]}")
            return True
        return False

    def _take(self, execution: UUID, n: int) -> None:
        if self.answered.setdefault(execution, n) != n:
            self.problems.append(f"execution {execution} answers two keys: {self.answered[execution]} and {n}")


async def settled(database: Database, tenancy: Tenancy, timeout_s: float) -> bool:
    """Wait until no execution of the tenant is open; False if some still are at the end."""

    async def none_open() -> bool:
        async with database.transaction(tenancy.tenant) as transaction:
            return await transaction.fetchval(_OPEN, tenancy.tenant.uuid) == 0

    return await comes_true(none_open, timeout_s)


async def comes_true(holds: Callable[[], Awaitable[bool]], timeout_s: float) -> bool:
    """Wait for a state of other processes; what is away meanwhile is waited for too."""
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                with contextlib.suppress(StructForgeError, OSError):
                    if await holds():
                        return True
                await asyncio.sleep(0.1)
    except TimeoutError:
        return False


async def busy(installation: Installation, timeout_s: float = 15) -> None:
    """Return when calls are under way at the effect server, or after the timeout."""

    async def any_call() -> bool:
        return await installation.effects.under_way() > 0

    await comes_true(any_call, timeout_s)
