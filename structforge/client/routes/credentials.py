"""Routes of credentials. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from typing import Any

from structforge.client.calls import Call, Id, call, key, listing, part
from structforge.client.models.credentials import CredentialReply, CredentialTypesReply
from structforge.client.shapes import Page
from structforge.client.unset import UNSET, Unset


class CredentialsRoutes:
    """Routes of credentials."""

    @call
    def list_credential_types(self) -> Call[CredentialTypesReply]:
        """The types that there are, each with the JSON Schema of its fields."""
        return Call("GET", "/api/v1/credentials/types", CredentialTypesReply)

    @listing
    def list_credentials(self, *, cursor: str | None = None, limit: int | None = None) -> Call[Page[CredentialReply]]:
        """The credentials that the caller may use, newest first. Those of the operator's file are not among them."""
        return Call("GET", "/api/v1/credentials", Page[CredentialReply], params={"cursor": cursor, "limit": limit})

    @call
    def create_credential(
        self,
        name: str,
        type: str,
        fields: dict[str, Any],
        *,
        description: str | Unset = UNSET,
        allowed_hosts: list[str] | Unset = UNSET,
        for_all_members: bool | Unset = UNSET,
        users: list[Id] | Unset = UNSET,
        force: bool | None = None,
        idempotency_key: str | None = None,
    ) -> Call[CredentialReply]:
        """Store a secret; whoever asks becomes its owner. 409 if the name is taken, and for a credential that not
        all members may use while published workflows name it already.
        """
        return Call(
            "POST",
            "/api/v1/credentials",
            CredentialReply,
            params={"force": force},
            headers={"Idempotency-Key": key(idempotency_key)},
            body={
                "name": name,
                "type": type,
                "fields": fields,
                "description": description,
                "allowed_hosts": allowed_hosts,
                "for_all_members": for_all_members,
                "users": users,
            },
        )

    @call
    def get_credential(self, credential_id: Id) -> Call[CredentialReply]:
        """One credential, without its secret."""
        return Call("GET", f"/api/v1/credentials/{part(credential_id)}", CredentialReply)

    @call
    def replace_credential(
        self,
        credential_id: Id,
        fields: dict[str, Any],
        *,
        allowed_hosts: list[str] | Unset = UNSET,
        version: int | Unset | None = UNSET,
    ) -> Call[CredentialReply]:
        """Put another secret in its place. Nodes that begin use it within 5 s; the old one cannot be had back."""
        return Call(
            "PUT",
            f"/api/v1/credentials/{part(credential_id)}",
            CredentialReply,
            body={"fields": fields, "allowed_hosts": allowed_hosts, "version": version},
        )

    @call
    def delete_credential(self, credential_id: Id, *, force: bool | None = None) -> Call[None]:
        """Delete it; nodes that name it fail within 5 s. 409 while published workflows or AI models name it."""
        return Call("DELETE", f"/api/v1/credentials/{part(credential_id)}", type(None), params={"force": force})

    @call
    def change_credential(
        self,
        credential_id: Id,
        *,
        description: str | Unset | None = UNSET,
        for_all_members: bool | Unset | None = UNSET,
        users: list[Id] | Unset | None = UNSET,
    ) -> Call[CredentialReply]:
        """Change the description, and who may use it. Workflows that are published keep the rights they were
        published with.
        """
        return Call(
            "PATCH",
            f"/api/v1/credentials/{part(credential_id)}",
            CredentialReply,
            body={"description": description, "for_all_members": for_all_members, "users": users},
        )
