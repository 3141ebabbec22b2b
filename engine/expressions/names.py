"""The names that expressions know."""

from __future__ import annotations

from engine.expressions.faults import nearest

SCOPE_NAMES = frozenset({"input", "vars", "nodes", "inputs", "execution"})
"""Always in scope; `item`, `index`, `last` and `error` come and go with the place of the expression."""

NODE_FIELDS = frozenset({"output", "status", "error", "ports"})

BUILTINS = frozenset(
    [
        "abs",
        "all",
        "any",
        "bin",
        "bool",
        "bytes",
        "chr",
        "dict",
        "divmod",
        "enumerate",
        "filter",
        "float",
        "format",
        "frozenset",
        "hex",
        "int",
        "isinstance",
        "iter",
        "len",
        "list",
        "map",
        "max",
        "min",
        "next",
        "oct",
        "ord",
        "pow",
        "range",
        "repr",
        "reversed",
        "round",
        "set",
        "slice",
        "sorted",
        "str",
        "sum",
        "tuple",
        "type",
        "zip",
    ]
)
"""The sandbox's own functions that are pure. It has others: `id` and `hash` differ from run to run, `getattr`,
`eval`, `exec` and `open` would go round the analysis of references; none of them is needed for data."""

WITHHELD = frozenset(
    [
        "breakpoint",
        "compile",
        "delattr",
        "dir",
        "eval",
        "exec",
        "exit",
        "getattr",
        "globals",
        "hasattr",
        "hash",
        "help",
        "id",
        "issubclass",
        "locals",
        "memoryview",
        "object",
        "open",
        "print",
        "property",
        "quit",
        "setattr",
        "super",
    ]
)

RESERVED_PREFIX = "_sf_"

_SPELLINGS = {"true": "True", "false": "False", "null": "None", "none": "None", "undefined": "None"}


def name_hint(name: str, known: frozenset[str]) -> str:
    """How to mend an unknown top-level name."""
    if name in _SPELLINGS:
        return f"write {_SPELLINGS[name]}"
    if name in WITHHELD:
        return f"{name}() is not available in expressions"
    if name in {"datetime", "time", "random", "date", "now", "today"}:
        return (
            "an expression is pure: it has no clock and no randomness; take times from `execution` or a node's output"
        )
    return nearest(name, known) or nearest(name, known | BUILTINS)
