"""Answers that must have a shape: what may be asked for, how a model is told, and what is wrong with what it sent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast

from engine.dag.input_schema import SchemaTooCostly, input_errors, schema_issues
from engine.dag.paths import join_path
from engine.errors import INVALID_CONFIG, Issue, NodeError
from engine.nodes.json_text import check_depth, dump_json, parse_json
from engine.nodes.markers import templated_paths
from engine.nodes.param_issues import INVALID_PARAM

_FENCE = re.compile(r"\s*```[a-zA-Z]*[ \t]*\n(.*)\n?```\s*", re.DOTALL)
_MOST_FAULTS = 10
_MOST_STEPS = 200_000  # some seconds at most
_FAULT_CHARS = 300


def schema_param_issues(schema: Any, path: str) -> list[Issue]:
    """Every issue of a JSON Schema at `path` of a document; one with templates is looked at when it runs."""
    if not isinstance(schema, dict) or next(templated_paths(schema), None) is not None:
        return []
    return [replace(issue, code=INVALID_PARAM) for issue in schema_issues(cast("dict[str, Any]", schema), path)]


def check_schema(schema: Mapping[str, Any], name: str) -> None:
    """Refuse a rendered schema that could not be checked.

    Raises: NodeError INVALID_CONFIG with every problem in `details["issues"]`.
    """
    try:
        issues = _schema_issues(dump_json(schema), join_path("params", name))
    except (ValueError, RecursionError):
        raise NodeError(f"{name} is nested too deep", code=INVALID_CONFIG) from None
    if issues:
        text = "; ".join(f"{issue.path}: {issue.message}" for issue in issues[:5])
        raise NodeError(text, code=INVALID_CONFIG, details={"issues": [issue.as_dict() for issue in issues]})


@lru_cache(maxsize=256)
def _schema_issues(schema: bytes, path: str) -> tuple[Issue, ...]:
    parsed: Any = parse_json(schema)
    return tuple(schema_param_issues(parsed, path))


def schema_instruction(schema: Mapping[str, Any]) -> str:
    """What tells a model of the shape, for providers that cannot be told otherwise."""
    return (
        "Answer with JSON alone, without any text around it. It must satisfy this JSON Schema:\n"
        + dump_json(schema).decode()
    )


def read_answer(text: str) -> Any:
    """The data of an answer, which may stand in a code fence.

    Raises: ValueError that says what is wrong, for the model to read.
    """
    fenced = _FENCE.fullmatch(text)
    data = parse_json((fenced[1] if fenced else text).strip())
    check_depth(data)
    return data


async def faults_of(schema: Mapping[str, Any], data: Any) -> list[str]:
    """What is wrong with data by a schema, at most ten faults with their places; nothing if it satisfies it.

    Raises: NodeError INVALID_CONFIG for a schema that takes too many steps.
    """
    try:
        # A schema may take seconds; the loop serves other nodes meanwhile.
        errors = await asyncio.to_thread(input_errors, dict(schema), data, most_steps=_MOST_STEPS)
    except SchemaTooCostly:
        raise NodeError(
            "checking the answer takes too many steps: make the schema simpler", code=INVALID_CONFIG
        ) from None
    return [
        f"{join_path('answer', *error.absolute_path)}: {error.message[:_FAULT_CHARS]}"
        for error in errors[:_MOST_FAULTS]
    ]
