"""What the API holds while it serves: PostgreSQL, Redis, Temporal, the object store, and the catalogue."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request

from api.auth import SignIn
from api.authentication.oidc import Provider, open_provider
from api.authentication.passwords import Passwords
from api.authentication.signing_key import signing_key
from api.authentication.tokens import Tokens
from api.live.hub import LiveStreams
from api.rate_limits import RateLimits
from engine.activities.clients.credentials import CredentialStore, open_credentials
from engine.activities.clients.objects import ObjectStore, Values
from engine.activities.clients.redis_live import LiveView
from engine.activities.clients.temporal import protection_of
from engine.activities.launching import TemporalLink
from engine.activities.readiness import Dependencies, dependencies, redis_view
from engine.activities.starting import Versions
from engine.dag.limits import Limits
from engine.errors import ConfigurationError
from engine.expressions import AstReferenceParser
from engine.nodes.outbound.addresses import HttpPolicy
from engine.nodes.outbound.client import HttpClient
from engine.nodes.registry import Catalogue, catalogue_of
from engine.settings import Settings
from models.keyring import Keys
from models.session import Database


@dataclass(frozen=True, slots=True)
class Resources:
    """Built once for a process; `live` is None where no Redis is set."""

    settings: Settings
    database: Database
    objects: ObjectStore
    values: Values
    live: LiveView | None
    temporal: TemporalLink
    catalogue: Catalogue
    parser: AstReferenceParser
    versions: Versions
    sign_in: SignIn
    tokens: Tokens
    passwords: Passwords
    rate_limits: RateLimits
    provider: Provider | None
    keys: Keys
    credentials: CredentialStore  # to compare with: the API sends none
    streams: LiveStreams = field(default_factory=LiveStreams)

    def dependencies(self) -> Dependencies:
        """What the API stands on, to be asked."""
        return dependencies(self.database, self.objects, self.temporal.check, optional=redis_view(self.live))

    @property
    def limits(self) -> Limits:
        given = self.settings.limits
        return Limits(
            max_nodes=given.max_nodes,
            max_body_depth=given.max_body_depth,
            max_expression_bytes=given.max_expression_bytes,
            max_iterations=given.max_iterations,
        )


@contextlib.asynccontextmanager
async def open_resources(settings: Settings) -> AsyncGenerator[Resources]:
    """Connect, and disconnect at the end. Temporal and Redis may be away meanwhile; PostgreSQL may not.

    Raises: ConfigurationError if an address is not set; SystemFault if PostgreSQL does not answer.
    """
    url, address = settings.database.url, settings.temporal.address
    if url is None or address is None:
        missing = "STRUCTFORGE_DATABASE__URL" if url is None else "STRUCTFORGE_TEMPORAL__ADDRESS"
        raise ConfigurationError(f"{missing} is not set: set it, or start everything with structforge up")
    async with contextlib.AsyncExitStack() as stack:
        database = await Database.open(url.get_secret_value(), pool_size=settings.database.pool_size)
        stack.push_async_callback(database.close)
        live = None if settings.redis.url is None else LiveView.open(settings.redis.url.get_secret_value())
        if live is not None:
            stack.push_async_callback(live.close)
        tokens = _open_tokens(settings)
        sign_in = SignIn(database, tokens)
        stack.push_async_callback(sign_in.close)
        redis_url = settings.redis.url
        rate_limits = RateLimits(None if redis_url is None else redis_url.get_secret_value())
        stack.push_async_callback(rate_limits.close)
        streams = LiveStreams.open(None if redis_url is None else redis_url.get_secret_value())
        stack.push_async_callback(streams.close)
        provider = open_provider(settings)
        if provider is not None:
            stack.push_async_callback(provider.close)
        http = HttpClient(HttpPolicy(allowed_hosts=settings.http.allowed_hosts))
        stack.push_async_callback(http.aclose)
        objects = ObjectStore.of(settings)
        protection = protection_of(settings)
        catalogue, parser = catalogue_of(settings), AstReferenceParser()
        yield Resources(
            settings=settings,
            database=database,
            objects=objects,
            values=Values(objects),
            live=live,
            temporal=TemporalLink(address, settings.temporal.namespace, objects, protection, settings.fairness),
            catalogue=catalogue,
            parser=parser,
            versions=Versions(database, catalogue, parser),
            sign_in=sign_in,
            tokens=tokens,
            passwords=Passwords(settings.auth.max_password_hashes),
            rate_limits=rate_limits,
            provider=provider,
            keys=Keys(settings),
            streams=streams,
            credentials=open_credentials(settings, database, http),
        )


def _open_tokens(settings: Settings) -> Tokens:
    """A key that is given is checked now; the one of the data folder is made when somebody signs in."""
    if settings.auth.token_key is not None:
        signing_key(settings)
    return Tokens(lambda: signing_key(settings), settings.auth.access_lifetime_s)


def resources_of(request: Request) -> Resources:
    """The resources of the application that serves the request."""
    return cast("Resources", request.app.state.resources)


Held = Annotated[Resources, Depends(resources_of)]
