"""Integration: statements on an SQL database."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self, cast

from pydantic import Field, field_validator, model_validator

from engine.dag.durations import Duration
from engine.errors import Issue
from engine.nodes.base import NodeContext, NodeParams, NodeResult, ResultModel, node
from engine.nodes.param_issues import INVALID_PARAM, structure_error
from engine.nodes.ports import required
from engine.nodes.querying.port import Call, DatabaseRequest, DatabaseResult, Decimals, Excess
from engine.nodes.querying.statements import READING, common_names, common_problem, read_statement

Operation = Literal["query", "execute", "batch", "transaction"]
_TEMPLATE = re.compile(r"(?<!\\)(?:\\\\)*\{\{")
_ESCAPED = "\\{{"


class StatementParams(NodeParams):
    """One statement of a transaction."""

    query: str = Field(min_length=1, description="One SQL statement; values are written :name")
    parameters: dict[str, Any] = Field(default_factory=dict[str, Any], description="Values of the statement")

    @field_validator("query", mode="after")
    @classmethod
    def _one_statement(cls, value: str) -> str:
        return _checked(value)


class DatabaseParams(NodeParams):
    """Query or change a PostgreSQL, MySQL, MariaDB or SQLite database.

    The database is that of a credential of type `connection`, or `sqlite_file` in the tenant's folder. Values are
    bound, never written into the statement: a template in `query` is refused. `:name` stands for a value of
    `parameters`, and a list in `IN (:name)` for its members; `{"base64": ...}` is bytes, other objects and lists are
    JSON (for PostgreSQL a list may be an array). Everything a node does is one transaction in a fresh session,
    committed at its end or rolled back whole; the server ends a statement that passes `timeout`.

    As data, decimals are text, dates and times ISO 8601, bytes `{"base64": ...}`, integers beyond 64 bits and NaN text,
    JSON and arrays data (MariaDB's JSON is text). Lost connections, deadlocks and timeouts are worth another attempt;
    violated constraints are not, and name the constraint. If the connection breaks during the commit, the error is
    OUTCOME_UNKNOWN. No error shows a parameter's value.
    """

    operation: Operation = Field(
        default="query",
        description="query reads; execute changes; batch runs one statement for each of a list of parameters; "
        "transaction runs several statements",
    )
    query: str | None = Field(default=None, min_length=1, description="One SQL statement; values are written :name")
    parameters: dict[str, Any] | list[dict[str, Any]] = Field(
        default_factory=dict[str, Any], description="Values of the statement by name; batch: a list of such objects"
    )
    statements: list[StatementParams] | None = Field(
        default=None, min_length=1, max_length=100, description="transaction: [{query, parameters}]"
    )
    sqlite_file: str | None = Field(
        default=None,
        pattern=r"(?i)\.(db|sqlite|sqlite3)$",
        max_length=1024,
        description="SQLite file in the tenant's folder, such as data/x.db (or .sqlite, .sqlite3)",
    )
    read_only: bool | None = Field(
        default=None, description="The database refuses every change; true for query if left out, false for the others"
    )
    max_rows: int = Field(default=10_000, ge=1, le=1_000_000, description="Most rows that are given")
    max_bytes: int = Field(default=20_000_000, ge=1, le=100_000_000, description="Most data that is given, about")
    on_excess: Excess = Field(
        default="fail", description="What a larger result means: fail, or truncate (for a query that only reads)"
    )
    decimals: Decimals = Field(default="text", description="text keeps decimals exact; number rounds them to a float")
    timeout: Duration = Field(
        default="30s",  # pyright: ignore[reportAssignmentType]  # read by the validator of Duration
        validate_default=True,
        description="For everything: connection, statements and rows",
    )
    idempotent: bool = Field(
        default=False, description="Whether the statements may safely run twice; a query that only reads always may"
    )

    @field_validator("query", mode="after")
    @classmethod
    def _one_statement(cls, value: str | None) -> str | None:
        return None if value is None else _checked(value)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        several = self.operation == "transaction"
        if several and (self.statements is None or self.query is not None):
            raise structure_error("transaction takes statements: [{query, parameters}], and no query")
        if not several and (self.query is None or self.statements is not None):
            raise structure_error(f"{self.operation} takes query; statements belong to operation transaction")
        if isinstance(self.parameters, list) != (self.operation == "batch"):
            form = "a list of objects" if self.operation == "batch" else "an object: several sets belong to batch"
            raise ValueError(f"the parameters of {self.operation} must be {form}")
        self._check_reading()
        self._check_names()
        return self

    def _check_reading(self) -> None:
        if self.on_excess == "truncate" and not (self.reads_only and self.operation == "query"):
            raise structure_error("only a query that is read_only can be truncated: changes are never given in part")
        for text, _ in self._statements():
            keyword = _keyword(text)
            if self.reads_only and keyword not in READING:
                raise structure_error(f"{keyword.upper()} writes: use operation execute, or read_only: false")

    def _check_names(self) -> None:
        for text, sets in self._statements():
            for given in sets:
                missing = sorted(common_names(_plain(text)) - given.keys())
                if missing:
                    raise ValueError(f"the query uses :{missing[0]}, which parameters do not give")

    def _statements(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        if self.query is not None:
            yield self.query, self.parameters if isinstance(self.parameters, list) else [self.parameters]
        for statement in self.statements or []:
            yield statement.query, [statement.parameters]

    @property
    def reads_only(self) -> bool:
        return self.operation == "query" if self.read_only is None else self.read_only

    def calls(self) -> list[Call]:
        if self.statements is not None:
            return [Call(statement.query, statement.parameters) for statement in self.statements]
        return [Call(self.query or "", self.parameters)]


def _plain(text: str) -> str:
    return text.replace(_ESCAPED, "{{")


def _checked(text: str) -> str:
    problem = common_problem(_plain(text))
    if problem is not None:
        raise structure_error(problem)
    return text


def _keyword(text: str) -> str:
    for dialect in ("postgresql", "mysql", "sqlite"):
        try:
            return read_statement(_plain(text), dialect).keyword
        except ValueError:
            continue
    return ""


class StatementResult(ResultModel):
    rows: list[dict[str, Any]] = Field(description="Rows by column name; a second id is id_2")
    columns: list[str] = Field(description="Names of the columns, in order")
    row_count: int | None = Field(description="Rows given or changed; null where the database does not say")
    last_id: int | None = Field(description="MySQL, SQLite: the key made for the inserted row")


class DatabaseNodeResult(StatementResult):
    truncated: bool = Field(description="Whether rows beyond max_rows or max_bytes were left out")
    results: list[StatementResult] | None = Field(default=None, description="transaction: what each statement gave")


def _may_repeat(params: dict[str, Any]) -> bool:
    reads = params.get("operation", "query") == "query" and params.get("read_only") in (None, True)
    return reads or params.get("idempotent") is True


def _no_templates(raw: Mapping[str, Any], path: str) -> list[Issue]:
    """A template in a statement would write data into it, whatever it is wrapped in."""
    return [
        Issue(
            INVALID_PARAM,
            where,
            "a statement may hold no template: data in it could change what it does",
            'write :name in the statement, and give parameters: {"name": "{{ ... }}"}',
        )
        for where, text in _statement_texts(raw, path)
        if _TEMPLATE.search(text)
    ]


def _statement_texts(raw: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    statements = raw.get("statements")
    found: list[tuple[str, Any]] = [(f"{path}.query", raw.get("query")), (f"{path}.statements", statements)]
    for number, item in enumerate(cast("list[Any]", statements) if isinstance(statements, list) else []):
        where = f"{path}.statements[{number}]"
        query = cast("Mapping[str, Any]", item).get("query") if isinstance(item, Mapping) else item
        found.append((where if query is item else f"{where}.query", query))
    return ((where, text) for where, text in found if isinstance(text, str))


@node(
    "database",
    category="integration",
    kind="io",
    icon="database",
    idempotent=_may_repeat,
    check=_no_templates,
    result=DatabaseNodeResult,
    examples=[
        {
            "title": "Read rows",
            "params": {
                "query": "SELECT id, total FROM orders WHERE status = :status AND id IN (:ids)",
                "parameters": {"status": "open", "ids": "{{ input.ids }}"},
            },
        },
        {
            "title": "Insert a list of rows at once",
            "params": {
                "operation": "batch",
                "query": "INSERT INTO customers (name, city) VALUES (:name, :city)",
                "parameters": "{{ nodes.table.output.content }}",
            },
        },
        {
            "title": "Move money, or do not",
            "params": {
                "operation": "transaction",
                "statements": [
                    {
                        "query": "UPDATE account SET balance = balance - :amount WHERE id = :from",
                        "parameters": {"amount": "{{ input.amount }}", "from": "{{ input.from }}"},
                    },
                    {
                        "query": "UPDATE account SET balance = balance + :amount WHERE id = :to",
                        "parameters": {"amount": "{{ input.amount }}", "to": "{{ input.to }}"},
                    },
                ],
            },
        },
        {
            "title": "Keep a small database among the tenant's files",
            "params": {
                "operation": "execute",
                "sqlite_file": "data/seen.db",
                "query": "CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY, at TEXT)",
            },
        },
    ],
)
async def database(params: DatabaseParams, context: NodeContext) -> NodeResult:
    request = DatabaseRequest(
        tenant=context.tenant,
        calls=params.calls(),
        credential=context.credential,
        sqlite_file=params.sqlite_file,
        read_only=params.reads_only,
        timeout_s=min(params.timeout.total_seconds(), context.own_deadline_s),
        max_rows=params.max_rows,
        max_bytes=params.max_bytes,
        on_excess=params.on_excess,
        decimals=params.decimals,
        idempotent=params.idempotent or _may_repeat({"operation": params.operation, "read_only": params.read_only}),
    )
    results = await required(context.ports.databases, "databases").run(request)
    output = _output(results[-1]) | {"truncated": any(result.truncated for result in results)}
    if params.operation == "transaction":
        counts = [result.row_count for result in results]
        output["row_count"] = None if None in counts else sum(count or 0 for count in counts)
        output["results"] = [_output(result) for result in results]
    context.log("debug", f"{params.operation} on the database", row_count=output["row_count"])
    return NodeResult(output)


def _output(result: DatabaseResult) -> dict[str, Any]:
    return {
        "rows": result.rows,
        "columns": result.columns,
        "row_count": result.row_count,
        "last_id": result.last_id,
    }
