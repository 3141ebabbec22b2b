"""Credentials of a tenant, sealed; and which versions of workflows name them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ARRAY, Boolean, ForeignKeyConstraint, Index, Integer, LargeBinary, Text, UniqueConstraint, Uuid
from sqlalchemy import text as sql
from sqlmodel import Field, SQLModel

from models.tables.columns import created, words


def _list_of(kind: Any) -> Any:
    options = {"server_default": sql("'{}'")}
    return Field(sa_type=ARRAY(kind), nullable=False, sa_column_kwargs=options)  # pyright: ignore[reportArgumentType,reportCallIssue]  # SQLModel's types know no instances


def _sealed() -> Any:
    return Field(sa_type=LargeBinary, nullable=False)


class Credential(SQLModel, table=True):
    """A credential. `version` grows with each replacement; the secrets of older versions are gone.

    `owner_id` is a person, or null for one that a key without a person made. Who may use it: the owner, the `users`,
    and all members where `for_all_members` is set. `key_id`, `wrapped_key` and `ciphertext` are a `Sealed`.
    """

    __tablename__ = cast("Any", "credential")
    __table_args__ = (
        UniqueConstraint("tenant_id", "name", name="credential_name_key"),
        Index("credential_key_idx", "key_id"),
    )

    tenant_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    name: str = words()
    type: str = words()
    description: str = words(default="")
    allowed_hosts: list[str] = _list_of(Text)
    owner_id: UUID | None = Field(default=None, sa_type=Uuid, nullable=True)
    users: list[UUID] = _list_of(Uuid)
    for_all_members: bool = Field(
        default=True, sa_type=Boolean, sa_column_kwargs={"server_default": sql("true")}, nullable=False
    )
    version: int = Field(sa_type=Integer)
    key_id: str = words()
    wrapped_key: bytes = _sealed()
    ciphertext: bytes = _sealed()
    created_at: datetime = created()
    updated_at: datetime = created()


class CredentialUse(SQLModel, table=True):
    """A version of a workflow names a credential; written by the database itself when the version is saved."""

    __tablename__ = cast("Any", "credential_use")
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "version_id"],
            ["workflow_version.tenant_id", "workflow_version.id"],
            name="credential_use_version_fkey",
            ondelete="CASCADE",
        ),
        Index("credential_use_name_idx", "tenant_id", "name"),
    )

    tenant_id: UUID = Field(primary_key=True)
    version_id: UUID = Field(primary_key=True)
    name: str = words(primary_key=True)
