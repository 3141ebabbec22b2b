"""What `Allow` names beside a 405: the methods of all routes of an address, and not of the first one alone."""

from __future__ import annotations

import re
from functools import cache

from fastapi import FastAPI

_METHODS = ("get", "put", "post", "delete", "patch")
_PARAMETER = re.compile(r"\{\w+\}")


def methods_of(app: FastAPI, path: str) -> list[str]:
    """The methods that the OpenAPI document has for an address; none if it has no such address."""
    fitting = {template: item for template, item in app.openapi()["paths"].items() if _fits(template, path)}
    fewest = min((template.count("{") for template in fitting), default=0)  # a word that is written out is no id
    items = [item for template, item in fitting.items() if template.count("{") == fewest]
    return [method.upper() for method in _METHODS if any(method in item for item in items)]


def _fits(template: str, path: str) -> bool:
    return _pattern(template).fullmatch(path) is not None


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile("[^/]+".join(map(re.escape, _PARAMETER.split(template))))
