"""Who may call which route: every route of the application against every kind of caller.

The table is written by hand and says what each route asks for at least; a route that is not in it fails the build.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import WebSocketRoute

from api.authentication.signing_key import signing_key
from api.authentication.tokens import Tokens
from api.permissions import Permission
from api.resources import Resources
from models.repositories.api_keys import ApiKeys
from models.repositories.tenants import Tenants
from models.tenancy import TenantId, mint_tenant
from tests.api.conftest import caller, document
from tests.api.live_streams.wires import open_wire
from tests.api.members import Somebody, Target, make_member, make_target

PREFIX = "/api/v1"
THROUGH = 0  # neither 401 nor 403, nor a 404 that hides the workflow: what the endpoint says of the request itself
ROLES = ("viewer", "executor", "editor", "owner")

# The least that a person needs: a role on the workflow that the path names; or, where it names none, to be a `member`
# or an `admin` of the tenant, an administrator of the installation's first tenant with every scope (`operator`), or
# `herself`, here with a login, not by a key; or nothing (`public`). Then the scopes that a key needs, all of them.
# `link` marks lists that a visitor by a sharing link may see its part of; elsewhere the link's role counts, where the
# path names its workflow, unless it says `nolink`.
TABLE = """
    GET    /healthz                                             public
    GET    /readyz                                              public
    GET    /hooks/{tenant}/{path:path}                         public
    HEAD   /hooks/{tenant}/{path:path}                         public
    POST   /hooks/{tenant}/{path:path}                         public
    PUT    /hooks/{tenant}/{path:path}                         public
    PATCH  /hooks/{tenant}/{path:path}                         public
    DELETE /hooks/{tenant}/{path:path}                         public

    GET    /auth/methods                                        public
    POST   /auth/token                                          public
    POST   /auth/refresh                                        public
    POST   /auth/logout                                         public
    POST   /auth/invitations                                    public
    GET    /auth/oidc/login                                     public
    GET    /auth/oidc/callback                                  public
    POST   /auth/switch-tenant                                  herself   me:read
    GET    /me                                                  member    me:read
    PATCH  /me                                                  herself   me:write
    POST   /me/password                                         herself   me:write
    POST   /me/email                                            herself   me:write
    POST   /me/deactivate                                       herself   me:write
    GET    /me/tenants                                          herself   me:read
    GET    /me/sessions                                         herself   me:read
    DELETE /me/sessions/{session_id}                            herself   me:write
    GET    /api-keys/scopes                                     member    me:read
    GET    /api-keys                                            member    api_key:read
    POST   /api-keys                                            member    api_key:write
    GET    /api-keys/{key_id}                                   member    api_key:read
    POST   /api-keys/{key_id}/rotate                            member    api_key:write
    DELETE /api-keys/{key_id}                                   member    api_key:write
    GET    /users                                               member    user:read
    GET    /users/{user_id}                                     member    user:read
    POST   /users                                               admin     user:write
    PATCH  /users/{user_id}                                     admin     user:write
    DELETE /users/{user_id}                                     admin     user:write
    GET    /tenants                                             operator  tenant:write
    POST   /tenants                                             operator  tenant:write
    GET    /tenant                                              member    tenant:read
    PATCH  /tenant                                              admin     tenant:write
    GET    /quotas                                              admin     quota:read
    GET    /quotas/usage                                        admin     quota:read
    PUT    /quotas                                              admin     quota:write
    DELETE /quotas                                              admin     quota:write
    GET    /node-types                                          member    node_type:read
    GET    /node-types/{name}                                   member    node_type:read

    GET    /workflows                                           member    workflow:read link
    POST   /workflows                                           member    workflow:write
    POST   /workflows/validate                                  member    workflow:read
    GET    /workflows/export                                    member    workflow:read
    POST   /workflows/import                                    member    workflow:write
    GET    /workflows/{workflow_id}                             viewer    workflow:read
    PUT    /workflows/{workflow_id}                             editor    workflow:write
    PATCH  /workflows/{workflow_id}                             editor    workflow:write
    DELETE /workflows/{workflow_id}                             editor    workflow:write
    GET    /workflows/{workflow_id}/export                      viewer    workflow:read
    POST   /workflows/{workflow_id}/duplicate                   viewer    workflow:read workflow:write
    POST   /workflows/{workflow_id}/pause                       editor    workflow:write
    POST   /workflows/{workflow_id}/resume                      editor    workflow:write
    POST   /workflows/{workflow_id}/archive                     editor    workflow:write
    POST   /workflows/{workflow_id}/restore                     editor    workflow:write
    POST   /workflows/{workflow_id}/unpublish                   editor    workflow:write
    POST   /workflows/{workflow_id}/rollback                    editor    workflow:write
    GET    /workflows/{workflow_id}/versions                    viewer    workflow:read
    GET    /workflows/{workflow_id}/versions/{number}           viewer    workflow:read
    GET    /workflows/{workflow_id}/versions/{number}/diff      viewer    workflow:read
    POST   /workflows/{workflow_id}/versions/{number}/publish   editor    workflow:write
    POST   /workflows/{workflow_id}/versions/prune              editor    workflow:write
    POST   /workflows/{workflow_id}/execute                     executor  workflow:run
    GET    /workflows/{workflow_id}/hooks                       viewer    workflow:read
    GET    /workflows/{workflow_id}/hooks/test/{path:path}       editor    workflow:write workflow:run
    POST   /workflows/{workflow_id}/hooks/test/{path:path}       editor    workflow:write workflow:run
    PUT    /workflows/{workflow_id}/hooks/test/{path:path}       editor    workflow:write workflow:run
    PATCH  /workflows/{workflow_id}/hooks/test/{path:path}       editor    workflow:write workflow:run
    DELETE /workflows/{workflow_id}/hooks/test/{path:path}       editor    workflow:write workflow:run

    GET    /workflows/{workflow_id}/grants                      editor    grant:read
    PUT    /workflows/{workflow_id}/grants/{member}             owner     grant:write
    DELETE /workflows/{workflow_id}/grants/{member}             owner     grant:write
    POST   /workflows/{workflow_id}/grants/transfer             owner     grant:write
    POST   /workflows/{workflow_id}/shares                      owner     share:write
    GET    /workflows/{workflow_id}/shares                      owner     share:read
    DELETE /workflows/{workflow_id}/shares/{share_id}           owner     share:write

    GET    /folders                                             member    workflow:read
    POST   /folders                                             member    workflow:write
    GET    /folders/{folder_id}                                 member    workflow:read
    PATCH  /folders/{folder_id}                                 member    workflow:write
    DELETE /folders/{folder_id}                                 member    workflow:write
    GET    /tags                                                member    workflow:read
    GET    /templates                                           member    workflow:read
    POST   /templates                                           member    workflow:write
    GET    /templates/{template_id}                             member    workflow:read
    DELETE /templates/{template_id}                             member    workflow:write
    POST   /templates/{template_id}/use                         member    workflow:write

    POST   /executions                                          member    workflow:write workflow:run
    GET    /executions                                          member    execution:read link
    GET    /executions/export                                   member    execution:read link
    POST   /executions/bulk                                     member    execution:control
    GET    /executions/{execution_id}                           viewer    execution:read
    GET    /executions/{execution_id}/export                    viewer    execution:read
    GET    /executions/{execution_id}/nodes                     viewer    execution:read
    GET    /executions/{execution_id}/logs                      viewer    execution:read
    GET    /executions/{execution_id}/events                    viewer    execution:read
    WS     /executions/{execution_id}/ws                        viewer    execution:read
    GET    /events/stream                                       member    execution:read link
    WS     /events/ws                                           member    execution:read link
    GET    /executions/{execution_id}/usage                     viewer    execution:read
    POST   /executions/{execution_id}/rerun                     executor  workflow:run
    POST   /executions/{execution_id}/cancel                    executor  execution:control
    POST   /executions/{execution_id}/pause                     executor  execution:control
    POST   /executions/{execution_id}/resume                    executor  execution:control
    POST   /executions/{execution_id}/nodes/{path}/skip         executor  execution:control
    POST   /executions/{execution_id}/nodes/{path}/retry        executor  execution:control
    POST   /executions/{execution_id}/nodes/{path}/approve      executor  workflow:run nolink
    GET    /approvals/{asked}                                   public
    GET    /executions/{shown}                                  public
    GET    /approvals                                           member    execution:read link
    GET    /approvals/count                                     member    execution:read
    GET    /approvals/{approval_id}                             viewer    execution:read
    POST   /approvals/{approval_id}                             executor  workflow:run nolink

    POST   /schedules                                           member    schedule:write
    GET    /schedules                                           member    schedule:read
    GET    /schedules/{schedule_id}                             viewer    schedule:read
    PUT    /schedules/{schedule_id}                             editor    schedule:write
    DELETE /schedules/{schedule_id}                             editor    schedule:write
    POST   /schedules/{schedule_id}/pause                       editor    schedule:write
    POST   /schedules/{schedule_id}/resume                      editor    schedule:write
    POST   /schedules/{schedule_id}/trigger                     executor  workflow:run
    POST   /schedules/{schedule_id}/backfill                    executor  workflow:run
    GET    /schedules/{schedule_id}/preview                     viewer    schedule:read

    GET    /ai-models                                           member    ai_model:read
    GET    /ai-models/{model_id}                                member    ai_model:read
    POST   /ai-models                                           admin     ai_model:write
    PUT    /ai-models/{model_id}                                admin     ai_model:write
    DELETE /ai-models/{model_id}                                admin     ai_model:write
    GET    /budgets                                             admin     budget:read
    GET    /budgets/{budget_id}                                 admin     budget:read
    POST   /budgets                                             admin     budget:write
    PUT    /budgets/{budget_id}                                 admin     budget:write
    DELETE /budgets/{budget_id}                                 admin     budget:write
    GET    /usage                                               admin     usage:read
    GET    /stats                                               member    execution:read
    GET    /audit                                               admin     audit:read
    GET    /system/workers                                      operator  system:read
    GET    /system/queues                                       operator  system:read
    POST   /codec/decode                                        admin     codec:use
    POST   /codec/encode                                        admin     codec:use

    POST   /events                                              member    event:publish
    POST   /events/batch                                        member    event:publish
    GET    /events/{event_id}                                   member    event:read
    GET    /outbox/parked                                       admin     outbox:manage
    POST   /outbox/parked/{message_id}/retry                    admin     outbox:manage

    POST   /notification-rules                                  admin     notification:manage
    GET    /notification-rules                                  admin     notification:manage
    GET    /notification-rules/{rule_id}                        admin     notification:manage
    PUT    /notification-rules/{rule_id}                        admin     notification:manage
    DELETE /notification-rules/{rule_id}                        admin     notification:manage
    GET    /notifications                                       member    notification:read
    GET    /notifications/{notification_id}                     member    notification:read
    POST   /notifications/{notification_id}/resend              admin     notification:manage

    GET    /credentials/types                                   member    credential:read
    GET    /credentials                                         member    credential:read
    GET    /credentials/{credential_id}                         member    credential:read
    POST   /credentials                                         member    credential:write
    PUT    /credentials/{credential_id}                         member    credential:write
    PATCH  /credentials/{credential_id}                         member    credential:write
    DELETE /credentials/{credential_id}                         member    credential:write
"""
# What gets past the checks of shape, where an empty object does not, so that another tenant's caller is told 404.
BODIES: dict[str, Any] = {
    "PUT /workflows/{workflow_id}": {"document": document("matrix")},
    "PUT /workflows/{workflow_id}/grants/{member}": {"role": "viewer"},
    "POST /workflows/{workflow_id}/grants/transfer": {"user_id": str(uuid4())},
    "POST /workflows/{workflow_id}/shares": {
        "role": "viewer",
        "expires_at": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
    },
    "POST /tenants": {"name": "made by the matrix"},
    "PUT /schedules/{schedule_id}": {"name": "x", "cron": "0 6 * * *"},
    "POST /schedules/{schedule_id}/backfill": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00Z"},
    "POST /workflows/{workflow_id}/rollback": {"version": 1},
    "POST /executions/{execution_id}/nodes/{path}/approve": {"decision": "approved"},
    "POST /approvals/{approval_id}": {"decision": "approved"},
}
QUERIES = {
    "GET /executions/{execution_id}/events": "?wait_s=0",
    "GET /events/stream": "?wait_s=0",
    "WS /executions/{execution_id}/ws": "?wait_s=0",
    "WS /events/ws": "?wait_s=0",
    "GET /workflows/{workflow_id}/versions/{number}/diff": "?against=1",
    "POST /workflows/{workflow_id}/versions/prune": "?keep=1",
}


@dataclass(frozen=True, slots=True)
class Row:
    """What a route asks for."""

    least: str
    scopes: frozenset[str]
    marks: frozenset[str]

    def for_role(self, role: str | None) -> int:
        """The answer to a person of the tenant with this role on the workflow."""
        if self.least in ROLES:
            return 404 if role is None else THROUGH if ROLES.index(role) >= ROLES.index(self.least) else 403
        return 403 if self.least in ("admin", "operator") else THROUGH

    def for_link(self, role: str) -> int:
        """The answer to a visitor, whose role is the link's and whose scopes are that role's."""
        if "nolink" in self.marks:
            return 403
        if self.least in ROLES:
            scopes = {"workflow:read", "execution:read"}
            scopes |= {"workflow:run", "execution:control"} if role == "executor" else set()
            return self.for_role(role) if self.scopes <= scopes else 403
        return THROUGH if "link" in self.marks else 403

    def expected(self, who: str) -> int:
        """The answer to one of the callers below."""
        if self.least == "public":
            return THROUGH
        if who in ("anonymous", "expired key", "expired token", "unknown key", "expired link", "unknown link"):
            return 401
        if who in ROLES:
            return self.for_role(who)
        if who.startswith("link of "):
            return self.for_link(who.removeprefix("link of "))
        if who == "member":
            return self.for_role(None)
        if "key" in who and self.least == "herself":
            return 403
        if who == "owner's key":
            return self.for_role("owner")
        if who in ("another tenant's key", "another tenant's admin"):
            return 404 if self.least in ROLES else 403 if self.least == "operator" else THROUGH
        if who in ("key without the scope", "owner's key without the scope"):
            return 403
        if who == "key with the scope" and self.least == "operator":
            return 403
        return THROUGH  # the tenant's administrator, and a key of no person with the scope


def _rows() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for line in TABLE.strip().splitlines():
        if line.strip():
            method, path, least, *rest = line.split()
            marks = frozenset({"link", "nolink"}.intersection(rest))
            rows[f"{method} {path}"] = Row(least, frozenset(rest) - marks, marks)
    return rows


ROWS = _rows()


def routes_of(app: FastAPI) -> dict[str, str]:
    """`METHOD /path` below the prefix -> the whole path, of every route that the application answers."""
    found: dict[str, str] = {}
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        path = str(context.path)
        if isinstance(route, APIRoute):
            for method in route.methods or ():
                found[f"{method} {path.removeprefix(PREFIX)}"] = path
        elif isinstance(route, WebSocketRoute):
            found[f"WS {path.removeprefix(PREFIX)}"] = path
    return found


def test_every_route_has_a_row_and_every_row_a_route(app: FastAPI) -> None:
    assert sorted(routes_of(app)) == sorted(ROWS)


def test_routes_besides_those_of_the_table_tell_nothing_of_anybody(app: FastAPI) -> None:
    others = {
        str(context.path)
        for context in iter_route_contexts(app.routes)
        if not isinstance(context.original_route, APIRoute | WebSocketRoute)
    }
    assert others == {f"{PREFIX}/openapi.json"}


@dataclass(slots=True)
class Cast:
    """The callers that are the same for all routes, and one client for all of them."""

    client: httpx2.AsyncClient
    resources: Resources
    tenant: TenantId
    people: dict[str, Somebody] = field(default_factory=dict[str, Somebody])
    secrets: dict[str, str] = field(default_factory=dict[str, str])

    async def target(self) -> Target:
        owner = self.people["owner"].id
        roles: dict[UUID, str] = {self.people[role].id: role for role in ROLES if role != "owner"}
        return await make_target(self.resources, self.tenant, owner, roles)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cast(app: FastAPI, resources: Resources, tenant: TenantId) -> AsyncIterator[Cast]:
    other = mint_tenant(uuid4())
    await Tenants(resources.database).ensure(other, f"matrix {other}")
    keys = ApiKeys(resources.database)
    async with caller(app, None) as client:
        made = Cast(client, resources, tenant)
        for who in (*ROLES, "member"):
            made.people[who] = await make_member(resources, tenant)
        made.people["admin"] = await make_member(resources, tenant, "admin")
        made.people["another tenant's admin"] = await make_member(resources, other, "admin")
        made.secrets = {who: somebody.token for who, somebody in made.people.items()}
        made.secrets["owner's key"] = made.people["owner"].secret
        made.secrets["expired token"] = _expired_token(resources, tenant, made.people["admin"])
        _, made.secrets["another tenant's key"] = await keys.create(other, "other", scopes=("*",))
        past = datetime.now(UTC) - timedelta(seconds=1)
        _, made.secrets["expired key"] = await keys.create(tenant, "old", scopes=("*",), expires_at=past)
        made.secrets["unknown key"] = "sf_nobody-has-this-one"
        yield made


def _expired_token(resources: Resources, tenant: TenantId, somebody: Somebody) -> str:
    tokens = Tokens(lambda: signing_key(resources.settings), access_lifetime_s=-60)
    session_id = resources.tokens.read(somebody.token).session_id
    return tokens.issue(somebody.id, tenant.uuid, session_id)


async def _callers(cast: Cast, row: Row) -> dict[str, dict[str, str]]:
    """Headers of every kind of caller without a link."""
    keys, others = ApiKeys(cast.resources.database), tuple(set(Permission) - row.scopes)
    _, having = await keys.create(cast.tenant, "with", scopes=tuple(row.scopes))
    _, lacking = await keys.create(cast.tenant, "without", scopes=others)
    owner = cast.people["owner"].id
    _, lacking_of_owner = await keys.create(cast.tenant, "owner's", scopes=others, user_id=owner)
    secrets = cast.secrets | {
        "key with the scope": having,
        "key without the scope": lacking,
        "owner's key without the scope": lacking_of_owner,
    }
    return {"anonymous": {}} | {who: {"Authorization": f"Bearer {secret}"} for who, secret in secrets.items()}


def _path(pattern: str, target: Target) -> str:
    given = {
        "workflow_id": str(target.workflow_id),
        "execution_id": str(target.execution_id),
        "approval_id": str(target.approval_id),
        "schedule_id": str(target.schedule_id),
        "number": "1",
        "path": "double",
        "name": "manual",
    }
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: given.get(found[1], str(uuid4())), pattern)


async def _answer_to_socket(app: FastAPI, url: str, headers: dict[str, str]) -> httpx2.Response:
    """What a WebSocket is answered with before it is open, or closed with, as a response."""
    async with open_wire(app, url.removeprefix(f"http://api{PREFIX}"), headers) as wire:
        if not headers:
            await wire.say({})  # the place where those without a header show who they are
        await wire.frames()
    status = wire.code if wire.code < 1000 else wire.code - 4000 if wire.code >= 4400 else 200
    return httpx2.Response(status, json=wire.problem)


def _outcome(answer: httpx2.Response, target: Target, *, stranger: bool) -> int:
    """What the answer says of the caller. To a stranger every 404 is one, whatever its words are."""
    assert answer.status_code < 500, answer.text
    if answer.status_code in (401, 403):
        return answer.status_code
    hidden = answer.status_code == 404 and (stranger or _detail(answer) in target.hidden)
    return 404 if hidden else THROUGH


def _detail(answer: httpx2.Response) -> str:
    """What a problem says; the answer to HEAD has no body."""
    return answer.json()["detail"] if answer.content else ""


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("route", ROWS)
async def test_route_lets_in_whom_the_table_says_and_nobody_else(app: FastAPI, cast: Cast, route: str) -> None:
    row, (method, _) = ROWS[route], route.split()
    pattern = routes_of(app)[route]
    shared = await cast.target()
    callers = await _callers(cast, row) | {
        f"link of {role}": {"X-Share-Token": shared.links[role]} for role in ("viewer", "executor")
    }
    callers |= {"expired link": {"X-Share-Token": shared.links["expired"]}, "unknown link": {"X-Share-Token": "sfs_x"}}

    found: dict[str, int] = {}
    for who, headers in callers.items():
        # A link leads to its own workflow; for others a call that may change something has a fresh one.
        harmless = method in ("GET", "WS") or "link" in who or row.expected(who) != THROUGH or row.least not in ROLES
        target = shared if harmless else await cast.target()
        body = None if method in ("GET", "DELETE") else BODIES.get(route, {})
        url = f"http://api{_path(pattern, target)}{QUERIES.get(route, '')}"
        if method == "WS":
            answer = await _answer_to_socket(app, url, headers)
        else:
            answer = await cast.client.request(method, url, headers=headers, json=body)
        stranger = who.startswith("another") and row.least in ROLES
        found[who] = _outcome(answer, target, stranger=stranger)

    assert found == {who: row.expected(who) for who in callers}
