"""Who opens a stream, and whether they may still read it while it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers

from api.auth import Identity
from api.live.hub import Place
from api.permissions import Demand
from api.resources import Resources
from api.route_access import check_route
from api.visitors import still_visitor_of, visitor_of
from api.workflow_access import sight_of
from models.repositories.grants import Sight


@dataclass(frozen=True, slots=True)
class Shown:
    """What somebody shows to be let in: an API key or access token, or the token of a sharing link."""

    secret: str | None = None
    link: str | None = None

    @classmethod
    def of_headers(cls, headers: Headers, link: str | None = None) -> Shown:
        """`link` is one from elsewhere than the headers."""
        kind, _, credentials = headers.get("authorization", "").partition(" ")
        bearer = credentials.strip() if kind.lower() == "bearer" else ""
        return cls(bearer or headers.get("x-api-key") or None, headers.get("x-share-token") or link)

    def __bool__(self) -> bool:
        return bool(self.secret or self.link)


async def let_in(
    resources: Resources, shown: Shown, demand: Demand, path: Mapping[str, str], *, again: bool = False
) -> Identity:
    """The caller, if it may open a stream of this demand. `again`: the stream runs already.

    Raises: Unauthenticated; AccessDenied; NotFound; ValidationFailed; SystemFault.
    """
    if shown.link and not shown.secret:
        caller = await (still_visitor_of if again else visitor_of)(resources, shown.link)
    else:
        caller = await resources.sign_in.identify(shown.secret)
    await check_route(resources, caller, demand, path)
    return caller


def checks(
    resources: Resources, shown: Shown, demand: Demand, path: Mapping[str, str]
) -> Callable[[], Awaitable[Sight]]:
    """What tells, whenever it is called, what the caller may see now, or raises that it may not read any more."""

    async def check() -> Sight:
        return sight_of(await let_in(resources, shown, demand, path, again=True))

    return check


def place_of(resources: Resources, caller: Identity) -> Place:
    """Room for one stream more. Raises: Conflict (RATE_LIMITED)."""
    live = resources.settings.live
    return resources.streams.take_place(
        caller.tenant, caller.key_id, of_tenant=live.max_streams_per_tenant, of_key=live.max_streams_per_key
    )
