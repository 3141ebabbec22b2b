"""Routes of users. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from typing import Literal

from structforge.client.calls import Call, Id, call, key, listing, part
from structforge.client.models.shared import InvitationReply
from structforge.client.models.users import MemberReply
from structforge.client.shapes import Page
from structforge.client.unset import UNSET, Unset


class UsersRoutes:
    """Routes of users."""

    @listing
    def list_users(self, *, cursor: str | None = None, limit: int | None = None) -> Call[Page[MemberReply]]:
        """Members of the tenant and people who are invited, newest accounts first."""
        return Call("GET", "/api/v1/users", Page[MemberReply], params={"cursor": cursor, "limit": limit})

    @call
    def invite_user(
        self,
        email: str,
        *,
        role: Literal["admin", "member"] | Unset = UNSET,
        display_name: str | Unset = UNSET,
        idempotency_key: str | None = None,
    ) -> Call[InvitationReply]:
        """Invite a person; the token in the answer is shown once and accepts it. 409 for who is a member already."""
        return Call(
            "POST",
            "/api/v1/users",
            InvitationReply,
            headers={"Idempotency-Key": key(idempotency_key)},
            body={"email": email, "role": role, "display_name": display_name},
        )

    @call
    def get_user(self, user_id: Id) -> Call[MemberReply]:
        """One member."""
        return Call("GET", f"/api/v1/users/{part(user_id)}", MemberReply)

    @call
    def remove_user(self, user_id: Id) -> Call[None]:
        """End a membership; keys and logins of the person in this tenant go with it. 409 for the last administrator."""
        return Call("DELETE", f"/api/v1/users/{part(user_id)}", type(None))

    @call
    def change_user(
        self,
        user_id: Id,
        *,
        role: Literal["admin", "member"] | Unset | None = UNSET,
        disabled: bool | Unset | None = UNSET,
    ) -> Call[MemberReply]:
        """Change a member's role, or disable the account (installation administrators). 409 for the last
        administrator.
        """
        return Call("PATCH", f"/api/v1/users/{part(user_id)}", MemberReply, body={"role": role, "disabled": disabled})
