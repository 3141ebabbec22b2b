"""What permissions, roles and the declarations of routes mean, without a database: every branch of them.

The matrix calls the routes themselves; here its table is held against the tables of the source, one by one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from fastapi import APIRouter

from api.auth import Identity, Share
from api.permissions import (
    ADMIN_ONLY,
    ROLE_OF,
    WORKFLOW_PARAMETERS,
    Demand,
    Permission,
    check_declared,
    check_granted,
    demand_of,
    grants,
    permissions_of,
    requires,
)
from api.resources import Resources
from api.route_access import check_route, uuid_of
from api.workflow_access import (
    check_role,
    need_role,
    need_role_on_execution,
    owner_of,
    role_on,
    sees_everything,
    sight_of,
)
from engine.errors import AccessDenied, ConfigurationError, NotFound, ValidationFailed
from models.repositories.grants import EVERYTHING, Sight
from models.roles import Role
from models.tenancy import mint_tenant
from tests.api.test_permission_matrix import ROLES, ROWS

NO_DATABASE = cast("Resources", None)  # a branch that asks the record fails loudly
WORKFLOW, OTHER, SOMEBODY, LOGIN = UUID(int=1), UUID(int=2), UUID(int=3), UUID(int=4)
TENANT = mint_tenant(UUID(int=9))


def identity(**more: Any) -> Identity:
    return Identity(TENANT, uuid4(), "a key", more.pop("scopes", ("*",)), **more)


KEY = identity()
MEMBER = identity(user_id=SOMEBODY, session_id=LOGIN)
ADMIN = identity(user_id=SOMEBODY, tenant_role="admin", session_id=LOGIN)
MEMBERS_KEY = identity(user_id=SOMEBODY)
VISITOR = identity(share=Share(WORKFLOW, Role.EXECUTOR))

ADMINS = {scope for row in ROWS.values() if row.least in ("admin", "operator") for scope in row.scopes}


def test_tables_are_those_that_the_matrix_has_by_hand() -> None:
    roles = {(*row.scopes,)[0]: row.least for row in ROWS.values() if row.least in ROLES and len(row.scopes) == 1}
    assert {one.value: role.value for one, role in ROLE_OF.items()} == roles
    assert {one.value for one in ADMIN_ONLY} == ADMINS
    assert {one.value for one in Permission} == {"public", *(scope for row in ROWS.values() for scope in row.scopes)}
    assert WORKFLOW_PARAMETERS == ("workflow_id", "execution_id", "approval_id", "schedule_id")


def test_roles_are_ordered_and_hold_those_below() -> None:
    order = [Role.VIEWER, Role.EXECUTOR, Role.EDITOR, Role.OWNER]
    assert [role.value for role in order] == ["viewer", "executor", "editor", "owner"]
    assert [role.rank for role in order] == [1, 2, 3, 4]
    assert [Role.of_rank(rank) for rank in (1, 2, 3, 4)] == order
    for at, held in enumerate(order):
        assert [held.covers(wanted) for wanted in order] == [below <= at for below in range(4)]


def test_declaring_asks_for_the_greatest_role_unless_one_is_named() -> None:
    @requires(Permission.WORKFLOW_READ, Permission.GRANT_WRITE)
    async def both() -> None: ...

    @requires(Permission.WORKFLOW_READ, role=Role.EDITOR, open_to_links=True)
    async def named() -> None: ...

    @requires(Permission.ME_WRITE, in_person=True, closed_to_links=True)
    async def herself() -> None: ...

    async def bare() -> None: ...

    assert demand_of(both) == Demand(
        (Permission.WORKFLOW_READ, Permission.GRANT_WRITE), Role.OWNER, False, False, False
    )
    assert demand_of(named) == Demand((Permission.WORKFLOW_READ,), Role.EDITOR, True, False, False)
    assert demand_of(herself) == Demand((Permission.ME_WRITE,), None, False, True, True)
    assert (demand_of(bare), permissions_of(bare)) == (Demand(), ())
    assert Demand() == Demand((), None, False, False, False)
    assert permissions_of(both) == (Permission.WORKFLOW_READ, Permission.GRANT_WRITE)


def route(path: str, *demanded: Permission) -> APIRouter:
    router = APIRouter()

    async def endpoint() -> None: ...

    router.get(path)(requires(*demanded)(endpoint) if demanded else endpoint)
    return router


@pytest.mark.parametrize("parameter", ["workflow_id", "execution_id", "approval_id", "schedule_id"])
def test_a_route_that_names_a_workflow_needs_a_role(parameter: str) -> None:
    fine = route(f"/x/{{{parameter}}}", Permission.WORKFLOW_READ)
    roleless = route(f"/y/{{{parameter}}}/z", Permission.ME_READ)
    check_declared([fine, route("/plain", Permission.ME_READ)])
    with pytest.raises(ConfigurationError, match=rf"no role on it: GET /y/{{{parameter}}}/z$"):
        check_declared([fine, roleless])


def test_every_route_without_a_permission_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"no permission: GET /a, GET /b$"):
        check_declared([route("/a"), route("/ok", Permission.PUBLIC), route("/b")])


def test_scopes_grant_no_more_than_they_say() -> None:
    for scopes, permission, granted in (
        (["*"], Permission.TENANT_WRITE, True),
        (["api_key:*"], Permission.API_KEY_WRITE, True),
        (["api_key:read"], Permission.API_KEY_WRITE, False),
        (["workflow"], Permission.WORKFLOW_READ, False),
        (["workflow:"], Permission.WORKFLOW_READ, False),
        (["*:read"], Permission.WORKFLOW_READ, False),
        (["node_type:*"], Permission.WORKFLOW_READ, False),
    ):
        assert grants(scopes, permission) is granted, scopes
    with pytest.raises(AccessDenied) as caught:
        check_granted([Permission.WORKFLOW_READ, Permission.WORKFLOW_RUN], ["workflow:read"])
    assert caught.value.details == {"scope": "workflow:run"}


async def checked(caller: Identity, demand: Demand, **path: str) -> None:
    await check_route(NO_DATABASE, caller, demand, path)


async def refused(attempt: Awaitable[object]) -> AccessDenied:
    with pytest.raises(AccessDenied) as caught:
        await attempt
    return caught.value


READ = Demand((Permission.WORKFLOW_READ,), Role.VIEWER)


async def test_an_undeclared_route_lets_nobody_in() -> None:
    for caller in (KEY, ADMIN, MEMBER, VISITOR):
        assert "no permission" in (await refused(checked(caller, Demand()))).message


async def test_what_concerns_the_tenant_is_for_administrators_among_people() -> None:
    for permission in Permission:
        demand = Demand((permission,))
        await checked(KEY, demand)
        await checked(ADMIN, demand)
        if permission.value in ADMINS:
            for caller in (MEMBER, MEMBERS_KEY):
                error = await refused(checked(caller, demand))
                assert error.details == {"permission": permission.value}
                assert "administrators" in error.message
        else:
            await checked(MEMBER, demand)


async def test_what_is_in_person_takes_a_login() -> None:
    demand = Demand((Permission.ME_WRITE,), in_person=True)
    await checked(MEMBER, demand)
    await checked(ADMIN, demand)
    for caller in (KEY, MEMBERS_KEY, VISITOR):
        assert "signed in" in (await refused(checked(caller, demand))).message


async def test_scopes_are_asked_of_administrators_too() -> None:
    narrow = identity(user_id=SOMEBODY, tenant_role="admin", scopes=("workflow:read",))
    await checked(narrow, READ)
    assert (await refused(checked(narrow, Demand((Permission.WORKFLOW_WRITE,))))).details == {"scope": "workflow:write"}


async def test_a_link_leads_to_its_workflow_and_to_lists_that_are_open_to_it() -> None:
    await checked(VISITOR, READ, workflow_id=str(WORKFLOW))
    await checked(VISITOR, Demand((Permission.WORKFLOW_READ,), open_to_links=True))
    for attempt in (
        checked(VISITOR, READ),
        checked(
            VISITOR, Demand((Permission.WORKFLOW_READ,), Role.VIEWER, closed_to_links=True), workflow_id=str(WORKFLOW)
        ),
        checked(VISITOR, Demand((Permission.WORKFLOW_READ,), open_to_links=True, closed_to_links=True)),
    ):
        assert "sharing link" in (await refused(attempt)).message
    with pytest.raises(NotFound, match=f"no workflow {OTHER}"):
        await checked(VISITOR, READ, workflow_id=str(OTHER))
    error = await refused(
        checked(VISITOR, Demand((Permission.WORKFLOW_WRITE,), Role.EDITOR), workflow_id=str(WORKFLOW))
    )
    assert error.details == {"role": "executor", "needed": "editor"}


async def test_a_route_with_a_workflow_and_no_role_lets_no_one_in_who_needs_one() -> None:
    demand = Demand((Permission.WORKFLOW_READ,))
    await checked(KEY, demand, workflow_id=str(WORKFLOW))
    for caller in (MEMBER, VISITOR):
        assert "no role" in (await refused(checked(caller, demand, workflow_id=str(WORKFLOW)))).message


async def test_an_id_that_is_none_is_named_with_its_place() -> None:
    assert uuid_of("workflow_id", str(WORKFLOW)) == WORKFLOW
    with pytest.raises(ValidationFailed) as caught:
        await checked(VISITOR, READ, workflow_id="../x")
    (issue,) = caught.value.issues
    assert (issue.code, issue.path) == ("INVALID_VALUE", "path.workflow_id")


def test_who_is_bound_by_grants() -> None:
    assert [sees_everything(caller) for caller in (KEY, ADMIN, MEMBER, MEMBERS_KEY, VISITOR)] == [
        True, True, False, False, False,
    ]  # fmt: skip
    both = identity(user_id=SOMEBODY, tenant_role="admin", share=Share(WORKFLOW, Role.VIEWER))
    assert not sees_everything(both)
    assert (sight_of(KEY), sight_of(ADMIN)) == (EVERYTHING, EVERYTHING)
    assert sight_of(MEMBER) == Sight(member=SOMEBODY)
    assert sight_of(VISITOR) == Sight(workflow=WORKFLOW)
    assert (owner_of(KEY), owner_of(MEMBER)) == ("", str(SOMEBODY))


async def test_the_role_on_a_workflow_without_asking_for_grants() -> None:
    for caller in (KEY, ADMIN):
        assert await role_on(NO_DATABASE, caller, WORKFLOW) is Role.OWNER
        await need_role(NO_DATABASE, caller, WORKFLOW, "owner")
        await need_role_on_execution(NO_DATABASE, caller, OTHER, "owner")
    assert await role_on(NO_DATABASE, VISITOR, WORKFLOW) is Role.EXECUTOR
    assert await role_on(NO_DATABASE, VISITOR, OTHER) is None
    await need_role(NO_DATABASE, VISITOR, WORKFLOW, "viewer")
    with pytest.raises(NotFound, match=f"^no workflow {OTHER}$"):
        await need_role(NO_DATABASE, VISITOR, OTHER, "viewer")
    await refused(need_role(NO_DATABASE, VISITOR, WORKFLOW, Role.EDITOR))


@pytest.mark.parametrize("held", [None, *Role])
@pytest.mark.parametrize("wanted", [*Role])
def test_without_a_role_there_is_nothing_and_with_a_small_one_a_refusal(held: Role | None, wanted: Role) -> None:
    check: Callable[[], None] = lambda: check_role(held, wanted, "thing")  # noqa: E731
    if held is None:
        with pytest.raises(NotFound, match=r"^no thing$"):
            check()
    elif [*Role].index(held) < [*Role].index(wanted):
        with pytest.raises(AccessDenied) as caught:
            check()
        assert caught.value.details == {"role": held.value, "needed": wanted.value}
    else:
        check()
