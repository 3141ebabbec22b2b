"""From the bytes of a file to a checked tree of data, and from that to a `WorkflowSpec`.

Everything that is wrong comes as one `ValidationFailed`; nothing in a file can end in another exception.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn, cast

from engine.dag.json_tree import check_tree, too_deep
from engine.dag.limits import MAX_DOCUMENT_BYTES, MAX_TREE_DEPTH
from engine.dag.parsing import parse_spec
from engine.dag.paths import shown
from engine.dag.yaml_tree import read_yaml
from engine.errors import Issue, ValidationFailed

__all__ = ["parse_spec", "read_document"]

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]', re.DOTALL)


def read_document(data: bytes, *, name: str, max_bytes: int = MAX_DOCUMENT_BYTES) -> dict[str, Any]:
    """The mapping that a JSON or YAML file holds.

    `name` ends in `.json`, `.yaml` or `.yml`; any other name is read by what the content looks like.

    Raises: ValidationFailed; the issue's path is `line 3, column 5`, or a path in the document.
    """
    if len(data) > max_bytes:
        message = f"the document has {len(data):,} bytes, the limit is {max_bytes:,}"
        _refuse("DOCUMENT_TOO_LARGE", "", message, "move data into files or inputs, or split the workflow")
    tree = _read(_decode(data), name.lower(), max_bytes)
    if not isinstance(tree, dict):
        what = "empty" if tree is None else f"a {_KINDS.get(type(tree), 'value')}"
        _refuse("DOCUMENT_SYNTAX", "", f"the document is {what}, not a mapping", "begin with name: and nodes:")
    document = cast("dict[str, Any]", tree)
    if issues := check_tree(document):
        raise ValidationFailed(issues)
    return document


_KINDS: dict[type, str] = {list: "list", str: "text", bool: "truth value", int: "number", float: "number"}


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        _refuse("DOCUMENT_SYNTAX", f"line {line}, column {column}", "the file is no UTF-8 text", "save it as UTF-8")


def _read(text: str, name: str, max_bytes: int) -> Any:
    if name.endswith(".json"):
        return _read_json(text)
    if text.lstrip()[:1] in ("{", "["):
        try:
            return _read_json(text)
        except ValidationFailed as failure:
            if failure.issues[0].code != "DOCUMENT_SYNTAX":
                raise
    return read_yaml(text, max_bytes=max_bytes, max_depth=MAX_TREE_DEPTH)


def _read_json(text: str) -> Any:
    duplicates = False

    def gather(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal duplicates
        members = dict(pairs)
        duplicates = duplicates or len(members) != len(pairs)
        return members

    try:
        tree = json.loads(text, object_pairs_hook=gather, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        path = f"line {error.lineno}, column {error.colno}"
        _refuse(
            "DOCUMENT_SYNTAX", path, error.msg[:1].lower() + error.msg[1:], "this is where the JSON stops making sense"
        )
    except RecursionError:
        raise ValidationFailed([too_deep("", MAX_TREE_DEPTH)]) from None
    except ValueError:
        _refuse("INVALID_NUMBER", "", "a number has thousands of digits", "write it as a text")
    if duplicates:
        raise ValidationFailed(_find_duplicates(text))
    return tree


def _refuse_constant(text: str) -> NoReturn:
    _refuse("INVALID_NUMBER", "", f"{text} is no JSON number", "write null or a text")


def _find_duplicates(text: str) -> list[Issue]:
    """Where valid JSON has a key twice; run only when there is one."""
    issues: list[Issue] = []
    stack: list[set[str] | None] = []
    expects_key = False
    for token in _TOKEN.finditer(text):
        mark = token.group()
        if mark in "{[":
            stack.append(set() if mark == "{" else None)
        elif mark in "}]":
            stack.pop()
        elif mark[0] == '"' and expects_key and stack and (keys := stack[-1]) is not None:
            key = cast("str", json.loads(mark))
            if key in keys:
                message = f"the key {shown(key)} stands twice in one mapping"
                issues.append(Issue("DUPLICATE_KEY", _position(text, token.start()), message, "remove one of them"))
            keys.add(key)
        expects_key = mark in "{,"
    return issues


def _position(text: str, offset: int) -> str:
    return f"line {text.count(chr(10), 0, offset) + 1}, column {offset - text.rfind(chr(10), 0, offset)}"


def _refuse(code: str, path: str, message: str, hint: str) -> NoReturn:
    raise ValidationFailed([Issue(code, path, message, hint)]) from None
