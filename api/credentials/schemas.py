"""Bodies of the routes of credentials. Secrets come in and never go out."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from api.schemas import Reply, Request
from engine.nodes.outbound.addresses import normal_host

_HOST = re.compile(r"(\*\.(?=[^.]+\.))?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|[0-9a-f:.]*:[0-9a-f:.]*")


def _host(value: str) -> str:
    host = normal_host(value)
    if _HOST.fullmatch(host) is None or ".." in host:
        raise ValueError("a host is written as api.example.org, *.example.org or an address, without scheme and port")
    return host


Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$", strip_whitespace=True),
]
Host = Annotated[str, StringConstraints(min_length=1, max_length=253), AfterValidator(_host)]
Description = Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00]*$")]
Hosts = Annotated[
    list[Host],
    Field(
        max_length=50,
        description="Hosts that the secret may be sent to; required for all types but hmac, connection and smtp. They "
        "are part of the seal: changing them needs the secret again",
    ),
]
Users = Annotated[list[UUID], Field(max_length=500, description="People who may use it beside its owner")]
Secret = Annotated[
    dict[str, Any], Field(description="The fields of the type, as `GET /credentials/types` has them; never shown again")
]


class NewCredentialBody(Request):
    """A credential. Workflows name it by its name, which is not changed any more."""

    name: Name = Field(description="What workflows call it")
    type: str = Field(max_length=100, description="One of `GET /credentials/types`")
    fields: Secret
    description: Description = ""
    allowed_hosts: Hosts = Field(default=[])
    for_all_members: bool = Field(default=True, description="Whether all members of the tenant may use it")
    users: Users = Field(default=[])


class CredentialReplacement(Request):
    """Another secret, and the hosts that it may be sent to, in place of what there was."""

    fields: Secret
    allowed_hosts: Hosts = Field(default=[])
    version: int | None = Field(
        default=None, ge=1, le=2**31 - 1, description="Replace this version only; 412 if another has come since"
    )


class CredentialChanges(Request):
    """What is left out stays. The secret and its hosts are replaced by PUT alone."""

    description: Description | None = None
    for_all_members: bool | None = None
    users: Users | None = None


class WorkflowUseReply(Reply):
    id: UUID
    name: str
    version: int
    published: bool = Field(description="Whether this version is the published one, else the latest")


class UsesReply(Reply):
    """Who names a credential: published and latest versions of workflows, and AI models."""

    workflows: list[WorkflowUseReply]
    ai_models: list[str]


class CredentialReply(Reply):
    """A credential, without its secret."""

    id: UUID
    name: str
    type: str
    description: str
    allowed_hosts: list[str]
    version: int = Field(description="Grows with each replacement of the secret")
    owner_id: UUID | None = Field(description="A person; null if a key of no person made it")
    for_all_members: bool
    users: list[UUID]
    created_at: datetime
    updated_at: datetime
    uses: UsesReply | None = Field(description="Shown to those who may change the credential")


class CredentialTypeReply(Reply):
    """A type of credential."""

    type: str
    title: str
    description: str
    needs_hosts: bool = Field(description="Whether `allowed_hosts` is required")
    fields: dict[str, Any] = Field(description="JSON Schema of `fields`")


class CredentialTypesReply(Reply):
    items: list[CredentialTypeReply]
