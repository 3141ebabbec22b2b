"""The gate between the sandbox and the product: only JSON data passes.

Results cross as JSON text, written in the sandbox and read here. Objects would cross as well, but the client gives
what it does not know (`{}.items()`, a lambda) as its `repr`, and a text that was never meant passes for data.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

MAX_DEPTH = 100
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1
_ATOMS = frozenset({str, bool, type(None)})

_REMEDIES = {
    "set": "use sorted(...) or list(...)",
    "frozenset": "use sorted(...) or list(...)",
    "bytes": "use .decode() or .hex()",
    "function": "call it",
    "builtin_function_or_method": "call it",
    "type": "call it",
}
_NO_NUMBER = "the result holds NaN or an infinity, which JSON does not have"
_TOO_DEEP = f"the result is nested deeper than {MAX_DEPTH} levels"
_TOO_LARGE = "the result holds an integer beyond 64 bit; make it a text with str() or a float"


class NotJson(Exception):
    """Says in one sentence why a value is no JSON data, naming types and places only."""


def read_json(text: str) -> Any:
    """The data of a JSON text from the sandbox.

    Raises: NotJson.
    """
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise NotJson(_TOO_DEEP) from None
    except ValueError:  # an integer of thousands of digits
        raise NotJson(_TOO_LARGE) from None
    check_json(value)
    return value


def check_json(value: Any, depth: int = 0) -> None:
    """Nesting at most 100 deep, integers within 64 bit, finite floats, nothing but JSON types.

    Raises: NotJson.
    """
    kind: type[Any] = type(value)
    if kind in _ATOMS:
        return
    if kind is int:
        if not MIN_INTEGER <= value <= MAX_INTEGER:
            raise NotJson(_TOO_LARGE)
    elif kind is float:
        if value - value != 0:  # NaN and both infinities
            raise NotJson(_NO_NUMBER)
    elif kind is dict or kind is list:
        if depth >= MAX_DEPTH:
            raise NotJson(_TOO_DEEP)
        for item in value.values() if kind is dict else value:
            check_json(item, depth + 1)
    else:
        raise NotJson(f"a value of type {kind.__name__} is no JSON data")


def explain_refusal(message: str) -> str:
    """Why the sandbox could not write a result as JSON, from its own words, which name types only."""
    if message.startswith("Object of type "):
        kind = message.split()[3]
        remedy = _REMEDIES.get(kind, "use list(...) or str(...)")
        return f"the result is or holds a {kind}, which is no JSON data; {remedy}"
    if message.startswith("keys must be"):
        return "the result has a mapping key that is no text; use str()"
    if "digits" in message:
        return _TOO_LARGE
    if "float" in message:
        return _NO_NUMBER
    return _TOO_DEEP  # also what contains itself


def _refuse_constant(_: str) -> NoReturn:
    raise NotJson(_NO_NUMBER)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
