"""Who a caller is as a person, for what counts people: approvals, and who started an execution."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from api.auth import Identity
from api.permissions import Permission, grants
from engine.dag.control.approval import ROLE

_ROLES = {
    "editor": Permission.WORKFLOW_WRITE,
    "executor": Permission.WORKFLOW_RUN,
    "viewer": Permission.EXECUTION_READ,
}


@dataclass(frozen=True, slots=True)
class Person:
    """`id` stands for the person everywhere; two keys of one name are one person."""

    id: str
    names: frozenset[str]
    roles: frozenset[str]

    def is_among(self, approvers: Iterable[str]) -> bool:
        """Whether one of the names, ids or `role:...` means this person."""
        meant = self.names | {ROLE + role for role in self.roles}
        return any(name.strip().lower() in meant for name in approvers)


def person_of(caller: Identity) -> Person:
    """Who the caller counts as: a person by her address, however many keys she has; any other key by its name, or its
    id if it has none. Whoever may do all of a tenant is its admin.
    """
    key_id = str(caller.key_id)
    identifier = caller.key_name.strip().lower() or key_id
    roles = {role for role, permission in _ROLES.items() if grants(caller.scopes, permission)}
    if "*" in caller.scopes and (caller.user_id is None or caller.tenant_role == "admin"):
        roles.add("admin")
    if caller.user_id is not None:
        person = caller.email or str(caller.user_id)
        return Person(person, frozenset({person, str(caller.user_id)}), frozenset(roles))
    return Person(identifier, frozenset({identifier, key_id}), frozenset(roles))
