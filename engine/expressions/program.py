"""The program text that the sandbox runs for a batch of expressions.

Every expression is a function of its paths; a job names a function and its arguments. A path that could not be
resolved has no parameter but an unassigned local of its name, so that its error arises only if the expression
really reads it (`input.a if "a" in input else 0`). One failing job leaves the others alone: results are 1-tuples
of JSON text, errors pairs of type and text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from engine.expressions.parse import Expression

NOT_JSON = "_sf_not_json"
"""Stands for the error type when a result could not be written as JSON."""

PRELUDE = """
import json as _sf_json
def _sf_get(holder, key):
    if isinstance(holder, dict):
        if key in holder:
            return holder[key]
        keys = [str(known)[:80] for known in list(holder)[:20]]
        raise LookupError("there is no key '" + key + "'; there are: " + (", ".join(keys) or "none"))
    kinds = {str: 'a text', bool: 'a boolean', int: 'a number', float: 'a number', list: 'a list'}
    kind = 'null' if holder is None else kinds.get(type(holder), 'a value of another type')
    raise LookupError(kind + " has no '" + key + "'; only the keys of mappings and called methods can follow a dot")
def _sf_copy(value):
    if isinstance(value, dict):
        return {key: _sf_copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_sf_copy(item) for item in value]
    return value
_sf_dumps = _sf_json.dumps
_sf_format = format
_sf_repr = repr
_sf_str = str
"""
_RUN = """
_sf_results = []
_sf_number = 0
for _sf_job in _sf_jobs:
    print(_sf_number)
    _sf_number += 1
    try:
        _sf_value = _sf_functions[_sf_job[0]](*_sf_job[1])
    except BaseException as _sf_error:
        _sf_results.append((type(_sf_error).__name__, str(_sf_error)[:400]))
        continue
    try:
        _sf_results.append((_sf_dumps(_sf_value, allow_nan=False),))
    except BaseException as _sf_error:
        _sf_results.append(('_sf_not_json', str(_sf_error)[:400]))
_sf_results
"""
_PARAMETER = re.compile(r"'_sf_(\d+)'")


@dataclass(frozen=True, slots=True)
class Variant:
    """An expression as a function, with the positions of the paths that are missing this time."""

    expression: Expression
    missing: frozenset[int] = frozenset()

    def text(self, name: str) -> str:
        given = ", ".join(f"_sf_{index}" for index in range(len(self.expression.paths)) if index not in self.missing)
        absent = "".join(f"        _sf_{index} = 0\n" for index in sorted(self.missing))
        guard = f"    if False:\n{absent}" if absent else ""
        return f"def {name}({given}):\n{guard}    return {self.expression.code}\n"


@dataclass(frozen=True, slots=True)
class Job:
    """One evaluation: a function and the data of its paths, in order."""

    variant: Variant
    arguments: tuple[Any, ...]


def build(jobs: Sequence[Job]) -> tuple[str, dict[str, Any]]:
    """Program text and inputs for a batch of jobs."""
    variants = {job.variant: None for job in jobs}
    positions = {variant: index for index, variant in enumerate(variants)}
    calls = [(positions[job.variant], job.arguments) for job in jobs]
    return _text(tuple(variants)), {"_sf_jobs": calls}


@lru_cache(maxsize=512)
def _text(variants: tuple[Variant, ...]) -> str:
    functions = "".join(variant.text(f"_sf_f{index}") for index, variant in enumerate(variants))
    names = ", ".join(f"_sf_f{index}" for index in range(len(variants)))
    return f"{PRELUDE}{functions}_sf_functions = [{names}]\n{_RUN}"


def missing_parameter(message: str) -> int | None:
    """The position of the unresolved path that a NameError of the sandbox speaks of."""
    match = _PARAMETER.search(message)
    return int(match.group(1)) if match else None
