"""What a process stands on, and whether it answers: the same for API, worker and scheduler."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from engine.activities.clients.objects import ObjectStore
from engine.activities.clients.redis_live import LiveView
from engine.errors import SystemFault
from models.session import Database

PATIENCE_S = 3.0
Question = Callable[[], Awaitable[object]]

POSTGRESQL = "postgresql"
SCHEMA = "schema"
TEMPORAL = "temporal"
OBJECT_STORE = "object_store"
REDIS = "redis"


@dataclass(frozen=True, slots=True)
class Readiness:
    """Without the `missing` parts nothing goes; without the `degraded` ones it goes, with less."""

    missing: list[str]
    degraded: list[str]

    @property
    def ready(self) -> bool:
        return not self.missing


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Questions by the name of the part; one that raises SystemFault or takes `PATIENCE_S` says that it is missing."""

    required: Mapping[str, Question]
    optional: Mapping[str, Question]

    async def look(self) -> Readiness:
        """Ask all of them at once."""
        names = [*self.required, *self.optional]
        answers = await asyncio.gather(*(_answers(ask) for ask in (*self.required.values(), *self.optional.values())))
        silent = {name for name, answered in zip(names, answers, strict=True) if not answered}
        if POSTGRESQL in silent:
            silent.discard(SCHEMA)  # nobody can tell
        return Readiness([name for name in self.required if name in silent], [n for n in self.optional if n in silent])


def dependencies(
    database: Database,
    objects: ObjectStore,
    temporal: Question,
    *,
    optional: Mapping[str, Question] | None = None,
    **more: Question,
) -> Dependencies:
    """Those of every process, `more` that this one cannot do without, and `optional` ones."""
    required: dict[str, Question] = {
        POSTGRESQL: lambda: _ask_database(database),
        SCHEMA: lambda: _ask_schema(database),
        TEMPORAL: temporal,
        OBJECT_STORE: objects.check,
    }
    return Dependencies(required | more, optional or {})


def redis_view(live: LiveView | None) -> dict[str, Question]:
    """Losing Redis costs liveness alone, so it keeps no process from working."""
    return {REDIS: lambda: _ask_redis(live)}


async def _answers(ask: Question) -> bool:
    try:
        async with asyncio.timeout(PATIENCE_S):
            await ask()
    except (SystemFault, TimeoutError):
        return False
    return True


async def _ask_database(database: Database) -> None:
    async with database.transaction():
        pass  # to begin and to commit is the question


async def _ask_schema(database: Database) -> None:
    from models.migrations import is_behind  # loads Alembic, which nothing else here needs

    if await is_behind(database):
        raise SystemFault("the database is behind this version: run structforge db upgrade")


async def _ask_redis(live: LiveView | None) -> None:
    if live is None or not await live.answers():
        raise SystemFault("Redis does not answer")
