from __future__ import annotations

import pytest
from fastapi import APIRouter, FastAPI

from api.app import ROUTERS, create_app
from api.hooks.endpoints import public as hooks
from api.permissions import Permission, check_granted, permissions_of, requires
from api.resources import Resources
from engine.errors import AccessDenied, ConfigurationError
from engine.settings import Settings
from models.repositories.api_keys import ApiKeys
from models.tenancy import TenantId
from tests.api.conftest import caller


def test_a_route_without_a_permission_keeps_the_app_from_starting() -> None:
    router = APIRouter()

    @router.get("/forgotten")
    async def forgotten() -> None: ...

    with pytest.raises(ConfigurationError, match="GET /forgotten"):
        create_app(Settings(), routers=(*ROUTERS, router))


def test_public_routes_are_those_of_health_of_signing_in_and_of_webhooks_alone(app: FastAPI) -> None:
    public = {
        route.path  # pyright: ignore[reportAttributeAccessIssue]
        for router in (hooks, *ROUTERS)
        for route in router.routes
        if Permission.PUBLIC in permissions_of(route.endpoint)  # pyright: ignore[reportAttributeAccessIssue]
    }

    assert public == {
        "/hooks/{tenant}/{path:path}",
        "/auth/methods",
        "/auth/token",
        "/auth/refresh",
        "/auth/logout",
        "/auth/invitations",
        "/auth/oidc/login",
        "/auth/oidc/callback",
    }


@pytest.mark.parametrize(
    ("scopes", "granted"),
    [
        (["*"], True),
        (["workflow:*"], True),
        (["workflow:read"], True),
        (["workflow:write", "execution:read"], False),
        ([], False),
        (["public"], False),
    ],
)
def test_a_scope_grants_its_permission_its_resource_or_everything(scopes: list[str], granted: bool) -> None:
    if granted:
        check_granted([Permission.WORKFLOW_READ], scopes)
    else:
        with pytest.raises(AccessDenied):
            check_granted([Permission.WORKFLOW_READ], scopes)


def test_all_declared_permissions_are_needed() -> None:
    @requires(Permission.WORKFLOW_WRITE, Permission.WORKFLOW_RUN)
    async def endpoint() -> None: ...

    with pytest.raises(AccessDenied):
        check_granted(permissions_of(endpoint), ["workflow:write"])


@pytest.mark.asyncio(loop_scope="session")
async def test_a_key_without_the_scope_is_refused_and_told_which(
    app: FastAPI, resources: Resources, tenant: TenantId
) -> None:
    _, secret = await ApiKeys(resources.database).create(tenant, "reader", scopes=("workflow:read",))
    async with caller(app, secret) as reader:
        allowed = await reader.get("/workflows")
        refused = await reader.get("/executions")

    assert allowed.status_code == 200
    assert refused.status_code == 403
    assert refused.json()["details"] == {"scope": "execution:read"}


@pytest.mark.asyncio(loop_scope="session")
async def test_a_route_added_past_the_check_lets_nobody_in(settings: Settings, resources: Resources) -> None:
    app = create_app(settings, resources)

    @app.get("/api/v1/late")
    async def late() -> str:
        return "secret"

    async with caller(app, settings.api.key.get_secret_value() if settings.api.key else None) as client:
        answer = await client.get("/late")

    assert answer.status_code == 403
