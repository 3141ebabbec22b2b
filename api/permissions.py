"""What a route asks of its caller. Every route declares it; the application refuses to start if one does not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from fastapi import APIRouter
from starlette.routing import BaseRoute

from engine.errors import AccessDenied, ConfigurationError

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
_ATTRIBUTE = "__permission__"


class Permission(StrEnum):
    """A scope of an API key grants one of them, `resource:*` all of a resource, `*` everything."""

    PUBLIC = "public"
    ME_READ = "me:read"
    NODE_TYPE_READ = "node_type:read"
    WORKFLOW_READ = "workflow:read"
    WORKFLOW_WRITE = "workflow:write"
    WORKFLOW_RUN = "workflow:run"
    EXECUTION_READ = "execution:read"
    EXECUTION_CONTROL = "execution:control"
    AI_MODEL_READ = "ai_model:read"
    AI_MODEL_WRITE = "ai_model:write"
    BUDGET_READ = "budget:read"
    BUDGET_WRITE = "budget:write"
    USAGE_READ = "usage:read"


def requires(*permissions: Permission) -> Callable[[Endpoint], Endpoint]:
    """Declare what an endpoint asks for: all of `permissions`; PUBLIC alone lets everyone in."""

    def declare(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _ATTRIBUTE, permissions)
        return endpoint

    return declare


def permissions_of(endpoint: object) -> tuple[Permission, ...]:
    """What an endpoint declares, empty if it declares nothing."""
    return getattr(endpoint, _ATTRIBUTE, ())


def check_declared(routers: Iterable[APIRouter]) -> None:
    """Raises: ConfigurationError naming every route that declares no permission."""
    bare = [_shown(route) for router in routers for route in router.routes if not _declares(route)]
    if bare:
        raise ConfigurationError(f"these routes declare no permission: {', '.join(bare)}")


def grants(scopes: Sequence[str], permission: Permission) -> bool:
    """Whether one of the scopes grants the permission."""
    resource = permission.partition(":")[0]
    return bool({"*", f"{resource}:*", permission.value}.intersection(scopes))


def check_granted(permissions: Sequence[Permission], scopes: Sequence[str]) -> None:
    """Raises: AccessDenied naming the permission that no scope grants."""
    for permission in permissions:
        if not grants(scopes, permission):
            raise AccessDenied(f"the API key lacks the scope {permission.value}", details={"scope": permission.value})


def _declares(route: BaseRoute) -> bool:
    return bool(permissions_of(getattr(route, "endpoint", None)))


def _shown(route: BaseRoute) -> str:
    methods = ",".join(sorted(getattr(route, "methods", None) or ("?",)))
    return f"{methods} {getattr(route, 'path', route)}"
