"""Checks of parameters whose value stands in the document as it is, by the rules that hold when the node runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.errors import Issue, NodeError
from engine.nodes.markers import templated_paths
from engine.nodes.param_issues import INVALID_PARAM, format_path


def is_known(raw: Mapping[str, Any], name: str) -> bool:
    """Whether the parameter is given and holds no template."""
    return name in raw and next(templated_paths(raw[name]), None) is None


def known_value_issues(
    raw: Mapping[str, Any],
    path: str,
    name: str,
    kind: type | tuple[type, ...],
    check: Callable[[Any], object],
    hint: str,
) -> list[Issue]:
    """What `check` raises of the parameter's value, which is left alone while it is a template or of another kind.

    `check` raises ValueError or NodeError, as it does when the node runs.
    """
    if not is_known(raw, name) or not isinstance(raw[name], kind):
        return []
    try:
        check(raw[name])
    except NodeError as error:
        return [Issue(INVALID_PARAM, format_path(path, (name,)), error.message, hint)]
    except ValueError as error:
        return [Issue(INVALID_PARAM, format_path(path, (name,)), str(error), hint)]
    return []
