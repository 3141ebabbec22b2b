"""The HTTP application: routes put together, and served."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence

import uvicorn
from fastapi import APIRouter, Depends, FastAPI

from api.access import authorise
from api.ai_models.endpoints import router as ai_models
from api.api_keys.endpoints import router as api_keys
from api.approvals.endpoints import router as approvals
from api.approvals.pages import router as pages
from api.audit_log.endpoints import router as audit_log
from api.audit_trail import AuditTrail
from api.body_limit import BodyLimit
from api.budgets.endpoints import router as budgets
from api.codec_server.endpoints import router as codec_server
from api.codec_server.origins import CodecOrigins
from api.credentials.endpoints import router as credentials
from api.errors import install_error_handlers
from api.events.endpoints import router as events
from api.executions.command_endpoints import router as execution_commands
from api.executions.endpoints import router as executions
from api.first_tenant import ensure_first_tenant
from api.folders.endpoints import router as folders
from api.grants.endpoints import router as grants
from api.guarded_route import guard
from api.hooks.endpoints import drafts as hook_drafts
from api.hooks.endpoints import public as public_hooks
from api.hooks.endpoints import router as hooks
from api.live.endpoints import router as live
from api.live.serving import StreamingServer
from api.live.sockets import MAX_MESSAGE_BYTES, add_sockets
from api.logs.endpoints import router as logs
from api.me.endpoints import router as me
from api.metrics import Observed
from api.node_types.endpoints import router as node_types
from api.notifications.endpoints import router as notifications
from api.openapi import DescribedApi, operation_id
from api.permissions import check_declared
from api.quotas.endpoints import router as quotas
from api.rate_limit_headers import RateLimitHeaders
from api.resources import Resources, open_resources
from api.schedules.endpoints import router as schedules
from api.shares.endpoints import router as shares
from api.sign_in.endpoints import router as sign_in
from api.stats.endpoints import router as stats
from api.strict_json import check_json_body
from api.system.endpoints import router as system
from api.system.queue_endpoints import router as task_queues
from api.tags.endpoints import router as tags
from api.templates.endpoints import router as templates
from api.tenants.endpoints import router as tenants
from api.usage.endpoints import router as usage
from api.users.endpoints import router as users
from api.workflows.endpoints import router as workflows
from api.workflows.transfer_endpoints import router as workflow_transfer
from api.workflows.version_endpoints import router as workflow_versions
from engine.activities.clients.tls import tls_options
from engine.activities.health import serving_health
from engine.activities.observability import observed, watched
from engine.errors import ConfigurationError
from engine.settings import Settings

PREFIX = "/api/v1"
ROUTERS: tuple[APIRouter, ...] = (
    live,  # before /events/{...}
    workflow_transfer,
    workflows,
    workflow_versions,
    folders,
    tags,
    templates,
    executions,
    execution_commands,
    logs,
    approvals,
    notifications,
    node_types,
    me,
    ai_models,
    budgets,
    usage,
    stats,
    task_queues,
    quotas,
    credentials,
    grants,
    shares,
    audit_log,
    sign_in,
    users,
    tenants,
    api_keys,
    schedules,
    hooks,
    hook_drafts,
    codec_server,
    events,
)
GRACE_S = 10  # what still runs when the server is told to stop may take this long


def create_app(
    settings: Settings, resources: Resources | None = None, *, routers: Sequence[APIRouter] = ROUTERS
) -> FastAPI:
    """The application. Without `resources` it opens its own when it starts and makes the first tenant.

    Raises: ConfigurationError if a route declares no permission.
    """
    check_declared((system, public_hooks, pages, *routers))
    guard((system, pages, *routers))

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        if resources is not None:
            yield
            return
        async with open_first_resources(settings) as opened:
            app.state.resources = opened
            yield

    app = DescribedApi(
        title="StructForge",
        version="1",
        lifespan=lifespan,
        dependencies=[Depends(authorise), Depends(check_json_body)],
        generate_unique_id_function=operation_id,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # its page loads scripts from another host
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.resources = resources
    app.include_router(system)
    app.include_router(public_hooks)
    app.include_router(pages)
    for router in routers:
        app.include_router(router, prefix=PREFIX)
    add_sockets(app, PREFIX)
    install_error_handlers(app)
    limits = settings.api
    app.add_middleware(RateLimitHeaders)
    app.add_middleware(BodyLimit, max_bytes=limits.max_body_bytes, timeout_s=limits.body_timeout_s)
    app.add_middleware(AuditTrail, refused_per_minute=settings.audit.refused_per_minute)
    app.add_middleware(CodecOrigins, prefix=PREFIX, settings=settings)
    app.add_middleware(Observed)
    return app


@contextlib.asynccontextmanager
async def open_first_resources(settings: Settings) -> AsyncGenerator[Resources]:
    """Resources of a process that serves, with the first tenant in place."""
    async with open_resources(settings) as resources:
        await ensure_first_tenant(resources.database, settings.api.key)
        yield resources


async def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM, then let requests end for `GRACE_S` at most.

    Raises: ConfigurationError if an address is missing, the port is taken or a certificate cannot be used; SystemFault
    if PostgreSQL is away.
    """
    with observed("api", settings):
        await _serve(settings)


async def _serve(settings: Settings) -> None:
    async with (
        open_first_resources(settings) as resources,
        watched(settings, resources.database, resources.live, resources.temporal.check),
        serving_health(settings.health, resources.dependencies()),
    ):
        config = uvicorn.Config(
            create_app(settings, resources),
            host=settings.api.host,
            port=settings.api.port,
            access_log=False,
            log_config=None,  # its loggers write where ours do
            ws_max_size=MAX_MESSAGE_BYTES,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            **tls_options(settings.api),
        )
        server = StreamingServer(config, resources.streams)
        try:
            await server.serve()
        except SystemExit:
            reason = f"port {settings.api.port} on {settings.api.host} cannot be used"
            raise ConfigurationError(f"{reason}: set STRUCTFORGE_API__PORT") from None
