"""YAML as people expect it: the JSON-like types of YAML 1.2 and nothing else.

Built from parser events instead of PyYAML's constructors, because those recurse (deep input ends the process), read
`on` as true and dates as objects (YAML 1.1), let a key appear twice, and expand aliases without bound.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, cast

import yaml

from engine.dag.json_tree import too_deep
from engine.dag.limits import MAX_TREE_DEPTH
from engine.dag.paths import shown
from engine.errors import Issue, ValidationFailed

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]{1,40}|0o[0-7]{1,40}|0x[0-9a-fA-F]{1,40}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_CORE = "tag:yaml.org,2002:"
_KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "null": (type(None),),
}
_MISSING: Any = object()


def is_plain_text(text: str) -> bool:
    """Whether the text, written without quotes, is read as that text: not as null, a truth value, a number or `<<`."""
    if text in _NULL or text in _BOOL or text == "<<":
        return False
    return not any(pattern.fullmatch(text) for pattern in (_INT, _FLOAT, _NOT_FINITE))


@dataclass(slots=True)
class _Frame:
    """A mapping or list that is being read; `key` is the key whose value comes next."""

    value: Any
    anchor: str | None
    start: int
    expanded: int
    key: Any = _MISSING
    merged: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


def read_yaml(text: str, *, max_bytes: int, max_depth: int) -> Any:
    """The data of one YAML document.

    Keys are always the text as written. Aliases share their data and may expand to `max_bytes` in all; `<<` merges.

    Raises: ValidationFailed with issues whose path is `line 3, column 5`.
    """
    reader = _Reader(max_bytes, max_depth)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            reader.take(event)
    except yaml.MarkedYAMLError as error:
        raise ValidationFailed([*reader.issues, _syntax_issue(error)]) from None
    except yaml.YAMLError as error:
        raise ValidationFailed([Issue("DOCUMENT_SYNTAX", "", str(error).splitlines()[0][:200])]) from None
    if reader.issues:
        raise ValidationFailed(reader.issues)
    return None if reader.root is _MISSING else reader.root


class _Reader:
    """Builds data from events with a stack of its own."""

    def __init__(self, max_bytes: int, max_depth: int) -> None:
        self.issues: list[Issue] = []
        self.root: Any = _MISSING
        self._max_bytes = max_bytes
        self._max_depth = max_depth
        self._frames: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._expanded = 0

    def take(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._open(event)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._close(event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent) and self.root is not _MISSING:
            self._fail(event, "DOCUMENT_SYNTAX", "there are two documents in the file", "keep one document a file")

    def _scalar(self, event: Any) -> None:
        frame = self._frames[-1] if self._frames else None
        if frame is not None and frame.key is _MISSING and isinstance(frame.value, dict):
            self._remember(event, event.value, len(event.value))
            self._key(event, frame, event.value, plain=event.implicit[0])
            return
        value = self._resolve(event)
        self._remember(event, value, len(event.value))
        self._put(event, value)

    def _resolve(self, event: Any) -> Any:
        text, tag = cast("str", event.value), cast("str | None", event.tag)
        if tag is None or tag == "!":
            return self._plain(event, text) if event.implicit[0] and tag is None else text
        name = tag.removeprefix(_CORE)
        if name == "str":
            return text
        value = self._plain(event, text) if name in _KINDS else _MISSING
        if value is _MISSING or not isinstance(value, _KINDS[name]):
            self._fail(
                event, "DOCUMENT_SYNTAX", f"the tag !!{name[:60]} is not read here", "write plain JSON-like data"
            )
        return value

    def _plain(self, event: Any, text: str) -> Any:
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        if text[0] not in "+-.0123456789":
            return text
        if _INT.fullmatch(text):
            return int(text, 0 if text[:2] in ("0x", "0o") else 10)
        if _FLOAT.fullmatch(text):
            return float(text)
        if _NOT_FINITE.fullmatch(text):
            self._fail(event, "INVALID_NUMBER", f"{text} is no JSON number", "write null, or put it in quotes")
        return text

    def _open(self, event: Any) -> None:
        if len(self._frames) >= self._max_depth:
            raise ValidationFailed([*self.issues, too_deep(_at(event), self._max_depth)])
        if self._frames and isinstance(self._frames[-1].value, dict) and self._frames[-1].key is _MISSING:
            hint = 'put templates in quotes: "{{ ... }}"'
            raise ValidationFailed(
                [*self.issues, Issue("DOCUMENT_SYNTAX", _at(event), "a mapping or list cannot be a key", hint)]
            )
        mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag is not None and event.tag not in ("!", _CORE + ("map" if mapping else "seq")):
            name = str(event.tag).removeprefix(_CORE)[:60]
            self._fail(event, "DOCUMENT_SYNTAX", f"the tag !!{name} is not read here", "write plain JSON-like data")
        value: Any = {} if mapping else []
        self._frames.append(_Frame(value, event.anchor, event.start_mark.index, self._expanded))

    def _close(self, event: Any) -> None:
        frame = self._frames.pop()
        for source in frame.merged:
            for key, member in source.items():
                frame.value.setdefault(key, member)
        if frame.anchor is not None:
            size = event.end_mark.index - frame.start + self._expanded - frame.expanded
            self._anchors[frame.anchor] = (frame.value, size)
        self._put(event, frame.value)

    def _alias(self, event: Any) -> None:
        known = self._anchors.get(event.anchor)
        if known is None:
            raise ValidationFailed(
                [
                    *self.issues,
                    Issue("DOCUMENT_SYNTAX", _at(event), f"*{event.anchor[:60]} names nothing finished above"),
                ]
            )
        value, size = known
        self._expanded += size + 1
        if self._expanded > self._max_bytes:
            message = f"aliases expand to more than {self._max_bytes:,} bytes"
            raise ValidationFailed(
                [*self.issues, Issue("DOCUMENT_TOO_LARGE", _at(event), message, "repeat less, or write it out")]
            )
        frame = self._frames[-1] if self._frames else None
        if frame is not None and isinstance(frame.value, dict) and frame.key is _MISSING:
            if not isinstance(value, str):
                self._fail(event, "DOCUMENT_SYNTAX", "a key must be a text", "write the key out")
            self._key(event, frame, value if isinstance(value, str) else "", plain=False)
        else:
            self._put(event, value)

    def _remember(self, event: Any, value: Any, size: int) -> None:
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, size)

    def _key(self, event: Any, frame: _Frame, key: str, *, plain: bool) -> None:
        if key == "<<" and plain:
            frame.key = None
            return
        if key in frame.value:
            self._fail(
                event, "DUPLICATE_KEY", f"the key {shown(key)} stands twice in one mapping", "remove one of them"
            )
        frame.key = key
        frame.value[key] = None

    def _put(self, event: Any, value: Any) -> None:
        if not self._frames:
            self.root = value
            return
        frame = self._frames[-1]
        if isinstance(frame.value, list):
            cast("list[Any]", frame.value).append(value)
            return
        if frame.key is None:
            self._merge(event, frame, value)
        else:
            frame.value[frame.key] = value
        frame.key = _MISSING

    def _merge(self, event: Any, frame: _Frame, value: Any) -> None:
        sources: list[Any] = cast("list[Any]", value) if isinstance(value, list) else [value]
        if not all(isinstance(source, dict) for source in sources):
            self._fail(event, "DOCUMENT_SYNTAX", "<< takes a mapping or a list of mappings", "name one with *anchor")
            return
        frame.merged.extend(sources)

    def _fail(self, event: Any, code: str, message: str, hint: str) -> None:
        self.issues.append(Issue(code, _at(event), message, hint))


def _at(event: Any) -> str:
    return f"line {event.start_mark.line + 1}, column {event.start_mark.column + 1}"


def _syntax_issue(error: yaml.MarkedYAMLError) -> Issue:
    mark = error.problem_mark or error.context_mark
    path = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    problem = (error.problem or "this is no YAML")[:200]
    if "maximum nesting depth" in problem:  # the parser's own limit, met while it looks ahead
        return too_deep(path, MAX_TREE_DEPTH)
    message = f"{error.context[:200]}: {problem}" if error.context else problem
    return Issue("DOCUMENT_SYNTAX", path, message, _syntax_hint(problem))


def _syntax_hint(problem: str) -> str:
    if "cannot start any token" in problem:
        return "indent with spaces, not with tabs, and put a text that begins with @, ` or % in quotes"
    if "mapping values" in problem:
        return 'put a text that holds ": " in quotes'
    return 'check the indentation, and put templates in quotes: "{{ ... }}"'
