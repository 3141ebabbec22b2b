"""Finds what templates refer to, at save time, by reading alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from engine.dag.references import NodeReference, References
from engine.errors import Issue
from engine.expressions.faults import UNKNOWN_NAME, ExpressionFault, shown
from engine.expressions.names import SCOPE_NAMES, name_hint
from engine.expressions.parse import Expression
from engine.expressions.paths import Path
from engine.expressions.scan import split_text
from engine.expressions.templates import member_location, read_expression


class AstReferenceParser:
    """The `ReferenceParser` of the product: reads syntax trees, evaluates nothing."""

    def parse(
        self, tree: Any, path: str, *, extra_names: tuple[str, ...] = (), expressions: bool = False
    ) -> References:
        """References of every expression in `tree`, a JSON tree that stands at `path` in the document."""
        found = _Collector(SCOPE_NAMES | frozenset(extra_names))
        for text, place in _texts(tree, path):
            if expressions or "{{" in text:
                found.read(text, place, bare=expressions)
        return found.references()


class _Collector:
    def __init__(self, known: frozenset[str]) -> None:
        self._known = known
        self._nodes: dict[NodeReference, None] = {}
        self._variables: dict[str, None] = {}
        self._inputs: dict[str, None] = {}
        self._names: set[str] = set()
        self._issues: dict[Issue, None] = {}
        self._constant = True

    def read(self, text: str, place: str, *, bare: bool) -> None:
        try:
            parts = [read_expression(text)] if bare else split_text(text)
        except ExpressionFault as fault:
            self._constant = False
            self._issues[fault.as_issue(place)] = None
            return
        for part in parts:
            if isinstance(part, Expression):
                self._constant = self._constant and bare and part.constant
                self._note(part.paths, place)

    def _note(self, paths: Iterable[Path], place: str) -> None:
        for path in paths:
            if path.root not in self._known:
                issue = Issue(
                    UNKNOWN_NAME, place, f"unknown name {shown(path.root)}", name_hint(path.root, self._known)
                )
                self._issues[issue] = None
                continue
            self._names.add(path.root)
            if path.root == "nodes":
                self._nodes[NodeReference(cast("str", path.steps[0]), cast("str", path.steps[1]), place)] = None
            elif path.root == "vars" and path.steps:
                self._variables[str(path.steps[0])] = None
            elif path.root == "inputs" and path.steps:
                self._inputs[str(path.steps[0])] = None

    def references(self) -> References:
        return References(
            nodes=list(self._nodes),
            variables=list(self._variables),
            names=sorted(self._names),
            issues=list(self._issues),
            constant=self._constant,
            inputs=list(self._inputs),
        )


def _texts(tree: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every string of a JSON tree with its place, in document order, however deep the tree is."""
    pending: list[tuple[Any, str]] = [(tree, path)]
    while pending:
        node, place = pending.pop()
        if isinstance(node, str):
            yield node, place
        elif isinstance(node, dict):
            members = cast("dict[str, Any]", node)
            pending += [(item, member_location(place, key)) for key, item in reversed(members.items())]
        elif isinstance(node, list | tuple):
            items = cast("list[Any]", node)
            pending += [(items[index], f"{place}[{index}]") for index in reversed(range(len(items)))]
