"""What a trigger gives when somebody starts it by hand in place of the outside world."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from engine.errors import Issue, ValidationFailed
from engine.nodes.json_kinds import kind_of
from engine.nodes.param_issues import issues_of

INVALID_INPUT = "INVALID_INPUT"


def completed(model: type[BaseModel], known: Mapping[str, Any], given: Any) -> dict[str, Any]:
    """The trigger's data: `known` with what was given laid over it.

    Raises: ValidationFailed with every problem if that is not what the trigger gives.
    """
    data = {**known, **_members(given)}
    try:
        model.model_validate(data)
    except ValidationError as error:
        raise ValidationFailed(issues_of(error, data, "input", model, []), "the input is not valid") from None
    return data


def merged(known: Mapping[str, Any], given: Any) -> dict[str, Any]:
    """`known` with what was given laid over it, whatever its names.

    Raises: ValidationFailed if it is no object.
    """
    return {**known, **_members(given)}


def _members(given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    if isinstance(given, dict):
        return cast("dict[str, Any]", given)
    message = f"the input of this trigger is an object, not {kind_of(given)}"
    raise ValidationFailed([Issue(INVALID_INPUT, "input", message, "give its members by name")], message)
