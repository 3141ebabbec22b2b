"""Paths into JSON data as rules write them: `customer.addresses[0].city`, `items[*].price`, `["odd key"]`.

`*` stands for every member of a list or object. An index may be negative.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

from engine.nodes.json_kinds import kind_of


class _Every:
    def __repr__(self) -> str:
        return "*"


EVERY = _Every()
Step = str | int | _Every
_STEP = re.compile(
    r"""(?:(?:^|\.)(?P<name>[^\.\[\]\s"'*]+)|(?:^|\.)?(?P<star>\*)|\[(?P<index>-?\d{1,9})\]|\[(?P<all>\*)\]"""
    r"""|\["(?P<double>[^"]*)"\]|\['(?P<single>[^']*)'\])"""
)
LONGEST_PATH = 1000


def parse_json_path(text: str) -> tuple[Step, ...]:
    """The steps of a path.

    Raises: ValueError if the text is no path.
    """
    steps: list[Step] = []
    position = 0
    while position < len(text) <= LONGEST_PATH:
        match = _STEP.match(text, position)
        if match is None or match.end() == position or (match["star"] and steps and text[position] != "."):
            break
        steps.append(_step(match))
        position = match.end()
    if not steps or position < len(text):
        raise ValueError(f'{text[:60]!r} is no path: write customer.addresses[0].city, items[*].price or ["odd key"]')
    return tuple(steps)


def _step(match: re.Match[str]) -> Step:
    if match["index"] is not None:
        return int(match["index"])
    if match["star"] or match["all"]:
        return EVERY
    return next(part for part in (match["name"], match["double"], match["single"]) if part is not None)


def format_steps(steps: tuple[Step, ...]) -> str:
    text = ""
    for step in steps:
        text += f".{step}" if isinstance(step, str) else f"[{step}]"
    return text.lstrip(".")


def holders(root: Any, steps: tuple[Step, ...], *, create: bool = False) -> Iterator[tuple[Any, str | int]]:
    """Every (container, key) that the path's last step names; the key itself may be absent from an object.

    With `create`, objects missing on the way are made. Where the path leads nowhere nothing is given.
    """
    for container in list(_walk(root, steps[:-1], create)):
        yield from _keys(container, steps[-1])


def _walk(value: Any, steps: tuple[Step, ...], create: bool) -> Iterator[Any]:
    if not steps:
        yield value
        return
    for key in _keys(value, steps[0]):
        container, name = key
        member = container.get(name) if isinstance(container, dict) else container[name]
        if member is None and create:
            member = container[name] = {}
        if member is not None:
            yield from _walk(member, steps[1:], create)


def _keys(container: Any, step: Step) -> Iterator[tuple[Any, str | int]]:
    if isinstance(step, _Every):
        if isinstance(container, dict):
            members = cast("dict[str, Any]", container)
            yield from ((members, key) for key in list(members))
        elif isinstance(container, list):
            items = cast("list[Any]", container)
            yield from ((items, index) for index in range(len(items)))
    elif isinstance(step, str) and isinstance(container, dict):
        yield cast("dict[str, Any]", container), step
    elif isinstance(step, int) and isinstance(container, list):
        items = cast("list[Any]", container)
        if -len(items) <= step < len(items):
            yield items, step % len(items)


def exists(container: Any, key: str | int) -> bool:
    """Whether a holder's key is there; an index that was given is."""
    return isinstance(key, int) or key in container


def explain_absence(root: Any, steps: tuple[Step, ...]) -> str:
    """Why a path leads nowhere: the step that fails and the keys there are."""
    value = root
    for at, step in enumerate(steps):
        found = [*_keys(value, step)]
        if isinstance(step, _Every) or not found or not exists(*found[0]):
            place = format_steps(steps[:at]) or "the input"
            if isinstance(value, dict):
                keys = ", ".join(list(cast("dict[str, Any]", value))[:20])
                return f"{place} has no {step}; its keys are: {keys or 'none'}"
            return f"{place} is {kind_of(value)} and has no [{step}]"
        container, key = found[0]
        value = container[key]
    return "it is there"


def copy_json(value: Any) -> Any:
    """A deep copy of JSON data."""
    if isinstance(value, dict):
        return {key: copy_json(member) for key, member in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [copy_json(item) for item in cast("list[Any]", value)]
    return value
