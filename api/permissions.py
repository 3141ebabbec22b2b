"""What a route asks of its caller. Every route declares it; the application refuses to start if one does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from fastapi import APIRouter
from starlette.routing import BaseRoute

from engine.errors import AccessDenied, ConfigurationError
from models.roles import Role

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
_ATTRIBUTE = "__permission__"


class Permission(StrEnum):
    """A scope of an API key grants one of them, `resource:*` all of a resource, `*` everything."""

    PUBLIC = "public"
    ME_READ = "me:read"
    ME_WRITE = "me:write"
    API_KEY_READ = "api_key:read"
    API_KEY_WRITE = "api_key:write"
    USER_READ = "user:read"
    USER_WRITE = "user:write"
    TENANT_READ = "tenant:read"
    TENANT_WRITE = "tenant:write"
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
    SCHEDULE_READ = "schedule:read"
    SCHEDULE_WRITE = "schedule:write"
    QUOTA_READ = "quota:read"
    QUOTA_WRITE = "quota:write"
    GRANT_READ = "grant:read"
    GRANT_WRITE = "grant:write"
    SHARE_READ = "share:read"
    SHARE_WRITE = "share:write"
    AUDIT_READ = "audit:read"
    CREDENTIAL_READ = "credential:read"
    CREDENTIAL_WRITE = "credential:write"
    NOTIFICATION_READ = "notification:read"
    NOTIFICATION_MANAGE = "notification:manage"
    CODEC_USE = "codec:use"
    EVENT_PUBLISH = "event:publish"
    EVENT_READ = "event:read"
    OUTBOX_MANAGE = "outbox:manage"
    SYSTEM_READ = "system:read"


# What a route with a workflow in its path asks for of the caller's role there, by its permission.
ROLE_OF: dict[Permission, Role] = {
    Permission.WORKFLOW_READ: Role.VIEWER,
    Permission.EXECUTION_READ: Role.VIEWER,
    Permission.SCHEDULE_READ: Role.VIEWER,
    Permission.SCHEDULE_WRITE: Role.EDITOR,
    Permission.WORKFLOW_RUN: Role.EXECUTOR,
    Permission.EXECUTION_CONTROL: Role.EXECUTOR,
    Permission.WORKFLOW_WRITE: Role.EDITOR,
    Permission.GRANT_READ: Role.EDITOR,
    Permission.GRANT_WRITE: Role.OWNER,
    Permission.SHARE_READ: Role.OWNER,
    Permission.SHARE_WRITE: Role.OWNER,
}
# What concerns the whole tenant: of people, its administrators alone may do it.
ADMIN_ONLY = frozenset(
    {
        Permission.AI_MODEL_WRITE,
        Permission.BUDGET_READ,
        Permission.BUDGET_WRITE,
        Permission.USAGE_READ,
        Permission.QUOTA_READ,
        Permission.QUOTA_WRITE,
        Permission.AUDIT_READ,
        Permission.CODEC_USE,
        Permission.USER_WRITE,
        Permission.TENANT_WRITE,
        Permission.NOTIFICATION_MANAGE,
        Permission.OUTBOX_MANAGE,
        Permission.SYSTEM_READ,
    }
)
# A path with one of these is about one workflow, and its caller needs a role there.
WORKFLOW_PARAMETERS = ("workflow_id", "execution_id", "approval_id", "schedule_id")


@dataclass(frozen=True, slots=True)
class Demand:
    """What a route asks for: all of `permissions`; `role` on the workflow of its path; what links may do with it."""

    permissions: tuple[Permission, ...] = ()
    role: Role | None = None
    open_to_links: bool = False
    closed_to_links: bool = False
    in_person: bool = False


def requires(
    *permissions: Permission,
    role: Role | None = None,
    open_to_links: bool = False,
    closed_to_links: bool = False,
    in_person: bool = False,
) -> Callable[[Endpoint], Endpoint]:
    """Declare what an endpoint asks for: all of `permissions`; PUBLIC alone lets everyone in.

    On a path with a workflow in it the caller needs the role that its permissions stand for, or `role`. A visitor by a
    sharing link gets to such paths alone, unless they are `closed_to_links`, and to lists that are `open_to_links`:
    those that show what it may see. What is `in_person` takes a login; no API key may do it.
    """
    demand = Demand(permissions, role or _role_of(permissions), open_to_links, closed_to_links, in_person)

    def declare(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _ATTRIBUTE, demand)
        return endpoint

    return declare


def demand_of(endpoint: object) -> Demand:
    """What an endpoint declares, an empty demand if it declares nothing."""
    return getattr(endpoint, _ATTRIBUTE, Demand())


def _role_of(permissions: Sequence[Permission]) -> Role | None:
    return max((ROLE_OF[one] for one in permissions if one in ROLE_OF), key=lambda role: role.rank, default=None)


def permissions_of(endpoint: object) -> tuple[Permission, ...]:
    """What an endpoint declares, empty if it declares nothing."""
    return demand_of(endpoint).permissions


def check_declared(routers: Sequence[APIRouter]) -> None:
    """Raises: ConfigurationError naming every route that declares no permission, or no role where it needs one."""
    bare = [_shown(route) for router in routers for route in router.routes if not _declares(route)]
    if bare:
        raise ConfigurationError(f"these routes declare no permission: {', '.join(bare)}")
    roleless = [_shown(route) for router in routers for route in router.routes if _lacks_role(route)]
    if roleless:
        raise ConfigurationError(f"these routes name a workflow and no role on it: {', '.join(roleless)}")


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


def _lacks_role(route: BaseRoute) -> bool:
    names_workflow = any(f"{{{name}" in getattr(route, "path", "") for name in WORKFLOW_PARAMETERS)
    return names_workflow and demand_of(getattr(route, "endpoint", None)).role is None


def _shown(route: BaseRoute) -> str:
    methods = ",".join(sorted(getattr(route, "methods", None) or ("?",)))
    return f"{methods} {getattr(route, 'path', route)}"
