"""Log lines of executions."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Index, Integer, text
from sqlmodel import Field, SQLModel

from models.tables.columns import created, structure, words


class ExecutionLog(SQLModel, table=True):
    """One line; `level` is debug, info, warning or error. Partitioned like the execution."""

    __tablename__ = cast("Any", "execution_log")
    __table_args__ = (
        Index("execution_log_node_seq_idx", "tenant_id", "execution_id", "node_path", "seq"),
        Index(
            "execution_log_problem_idx",
            "tenant_id",
            "execution_id",
            "seq",
            postgresql_where=text("level IN ('warning', 'error')"),
        ),
        {"postgresql_partition_by": "LIST (tenant_id)"},
    )

    tenant_id: UUID = Field(primary_key=True)
    execution_id: UUID = Field(primary_key=True)
    seq: int = Field(
        default=None,
        sa_type=BigInteger,
        primary_key=True,
        sa_column_kwargs={"server_default": text("nextval('execution_log_seq')")},
    )
    node_path: str | None = words(nullable=True)
    iteration: list[int] | None = Field(default=None, sa_type=ARRAY(Integer), nullable=True)  # pyright: ignore[reportArgumentType]
    attempt: int | None = Field(default=None, sa_type=Integer)
    level: str = words()
    message: str = words()
    fields: dict[str, Any] | None = structure()
    at: datetime = created()
