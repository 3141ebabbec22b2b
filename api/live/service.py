"""Opens feeds: what is watched, and from where on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

from api.live.feed import Feed
from api.resources import Resources
from engine.errors import Issue, ValidationFailed
from models.change_cursor import ChangeCursor
from models.repositories.executions import Executions
from models.repositories.grants import Sight
from models.repositories.live import Live, Watched
from models.rows import TERMINAL_EXECUTION_STATUSES
from models.tenancy import TenantId

LONGEST_S = 3600.0


async def open_feed(
    resources: Resources,
    tenant: TenantId,
    watched: Watched,
    last_id: str | None,
    check: Callable[[], Awaitable[Sight]],
    lasts_s: float,
) -> Feed:
    """A stream that goes on behind `last_id`. Without one, that of an execution begins with all that has happened, and
    that of a tenant with what happens from now on.

    Raises: NotFound if there is no such execution; ValidationFailed if the id is none.
    """
    if watched.execution_id is not None:
        await Executions(resources.database).get(tenant, watched.execution_id)
    cursor = read_id(last_id)
    if cursor is None:
        cursor = ChangeCursor() if watched.execution_id else await Live(resources.database).here(tenant)
    return Feed(resources.streams, resources.database, tenant, watched, cursor, check, lasts_s)


async def is_over(resources: Resources, tenant: TenantId, execution_id: UUID, watched: Watched, last_id: str) -> bool:
    """Whether whoever has this id has everything that there will ever be of the execution. Raises: NotFound."""
    cursor = read_id(last_id)
    execution = await Executions(resources.database).get(tenant, execution_id)
    if cursor is None or execution.status not in TERMINAL_EXECUTION_STATUSES:
        return False
    live = Live(resources.database)
    page = await live.changes(tenant, watched, cursor, limit=1)
    return not page.changes and not await live.lines(tenant, watched, cursor, limit=1)


def read_id(text: str | None) -> ChangeCursor | None:
    """None for none. Raises: ValidationFailed if the text is no id of a message."""
    if not text:
        return None
    try:
        return ChangeCursor.parse(text)
    except ValueError:
        issue = Issue(
            "INVALID_CURSOR", "header.last-event-id", "this is no id of a message", "send the last one as it is"
        )
        raise ValidationFailed([issue], "the request is not valid") from None
