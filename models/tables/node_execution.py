"""Node executions: the outcome of every run of every node."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Double, Integer, text
from sqlmodel import Field, SQLModel

from models.tables.columns import document, moment, words

_ZERO = {"server_default": text("0")}


class NodeExecution(SQLModel, table=True):
    """One run of a node: its path, its iteration in the bodies around it, its generation.

    `status` is pending, running, waiting, retrying, success, failed, skipped, pruned or cancelled. `attempts` counts
    tries of the node, `lost` the workers that died under it. `seq` grows with every change of the row.
    Partitioned by tenant, then by month of the execution's id.
    """

    __tablename__ = cast("Any", "node_execution")
    __table_args__ = ({"postgresql_partition_by": "LIST (tenant_id)"},)

    tenant_id: UUID = Field(primary_key=True)
    execution_id: UUID = Field(primary_key=True)
    node_path: str = words(primary_key=True)
    iteration: list[int] = Field(sa_type=ARRAY(Integer), primary_key=True)  # pyright: ignore[reportArgumentType]
    generation: int = Field(sa_type=Integer, primary_key=True)
    node_type: str = words()
    status: str = words()
    reason: str | None = words(nullable=True)
    attempts: int = Field(default=0, sa_type=Integer, sa_column_kwargs=_ZERO)
    lost: int = Field(default=0, sa_type=Integer, sa_column_kwargs=_ZERO)
    execution_attempt: int = Field(default=1, sa_type=Integer, sa_column_kwargs={"server_default": text("1")})
    port: str | None = words(nullable=True)
    started_at: datetime | None = moment()
    finished_at: datetime | None = moment()
    duration_ms: float | None = Field(default=None, sa_type=Double)
    input: dict[str, Any] | None = document()
    output: dict[str, Any] | None = document()
    error: dict[str, Any] | None = document()
    assigned: dict[str, Any] | None = document()
    digest: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=_ZERO)
    seq: int = Field(
        default=None, sa_type=BigInteger, sa_column_kwargs={"server_default": text("nextval('node_execution_seq')")}
    )
    worker: str | None = words(nullable=True)
    cached: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
