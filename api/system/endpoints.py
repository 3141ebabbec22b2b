"""Routes for load balancers and supervisors; they need no key and tell nothing about anyone."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

from fastapi import APIRouter, Response

from api.permissions import Permission, requires
from api.resources import Held
from api.system import service
from api.system.schemas import Health, Readiness

router = APIRouter(tags=["system"])


@router.get("/healthz")
@requires(Permission.PUBLIC)
async def get_health() -> Health:
    """Whether the process lives."""
    return Health(version=_version())


@cache
def _version() -> str:
    try:
        return version("structforge")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"


@router.get("/readyz", responses={503: {"model": Readiness}})
@requires(Permission.PUBLIC)
async def get_readiness(response: Response, resources: Held) -> Readiness:
    """Whether the API can work; 503 names what is missing."""
    readiness = await service.readiness(resources)
    if not readiness.ready:
        response.status_code = 503
        response.headers["Retry-After"] = "1"
    return readiness
