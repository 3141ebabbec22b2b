"""The HTTP application: routes put together, and served."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence

import uvicorn
from fastapi import APIRouter, Depends, FastAPI

from api.access import authorise
from api.ai_models.endpoints import router as ai_models
from api.approvals.endpoints import router as approvals
from api.body_limit import BodyLimit
from api.budgets.endpoints import router as budgets
from api.errors import install_error_handlers
from api.executions.endpoints import router as executions
from api.first_tenant import ensure_first_tenant
from api.me.endpoints import router as me
from api.node_types.endpoints import router as node_types
from api.permissions import check_declared
from api.resources import Resources, open_resources
from api.system.endpoints import router as system
from api.usage.endpoints import router as usage
from api.workflows.endpoints import router as workflows
from engine.errors import ConfigurationError
from engine.settings import Settings
from engine.telemetry import configure_logging

PREFIX = "/api/v1"
ROUTERS: tuple[APIRouter, ...] = (workflows, executions, approvals, node_types, me, ai_models, budgets, usage)
GRACE_S = 10  # what still runs when the server is told to stop may take this long


def create_app(
    settings: Settings, resources: Resources | None = None, *, routers: Sequence[APIRouter] = ROUTERS
) -> FastAPI:
    """The application. Without `resources` it opens its own when it starts and makes the first tenant.

    Raises: ConfigurationError if a route declares no permission.
    """
    check_declared((system, *routers))

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        if resources is not None:
            yield
            return
        async with open_first_resources(settings) as opened:
            app.state.resources = opened
            yield

    app = FastAPI(
        title="StructForge",
        version="1",
        lifespan=lifespan,
        dependencies=[Depends(authorise)],
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # its page loads scripts from another host
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.resources = resources
    app.include_router(system)
    for router in routers:
        app.include_router(router, prefix=PREFIX)
    install_error_handlers(app)
    app.add_middleware(BodyLimit, max_bytes=settings.api.max_body_bytes)
    return app


@contextlib.asynccontextmanager
async def open_first_resources(settings: Settings) -> AsyncGenerator[Resources]:
    """Resources of a process that serves, with the first tenant in place."""
    async with open_resources(settings) as resources:
        await ensure_first_tenant(resources.database, settings.api.key)
        yield resources


async def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM, then let requests end for `GRACE_S` at most.

    Raises: ConfigurationError if an address is missing or the port is taken; SystemFault if PostgreSQL is away.
    """
    configure_logging("api")
    async with open_first_resources(settings) as resources:
        config = uvicorn.Config(
            create_app(settings, resources),
            host=settings.api.host,
            port=settings.api.port,
            access_log=False,
            log_config=None,  # its loggers write where ours do
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
        )
        server = uvicorn.Server(config)
        try:
            await server.serve()
        except SystemExit:
            reason = f"port {settings.api.port} on {settings.api.host} cannot be used"
            raise ConfigurationError(f"{reason}: set STRUCTFORGE_API__PORT") from None
