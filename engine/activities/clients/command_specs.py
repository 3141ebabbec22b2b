"""What the operator writes about a command, and how a node's arguments become its argv."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Annotated, Any, Self

import re2
import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from engine.dag.durations import Duration
from engine.errors import INVALID_CONFIG, ConfigurationError, NodeError

_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}", re.ASCII)
_NAME = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"
_VARIABLE = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ArgumentSpec(_Section):
    """What one argument may be. A value that would begin its own argv element with a dash is refused, for it would be
    read as an option, unless `leading_dash` allows it."""

    pattern: str | None = Field(default=None, description="RE2 that the whole value must match")
    choices: list[str] | None = Field(default=None, min_length=1)
    max_length: int = Field(default=1000, gt=0, le=100_000)
    required: bool = False
    leading_dash: bool = False

    @field_validator("pattern")
    @classmethod
    def _is_re2(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                re2.compile(value)
        except re2.error:
            raise ValueError("it is no RE2 pattern") from None
        return value

    def fault(self, value: str) -> str | None:
        """Why a value is refused, None if it is not."""
        if "\0" in value:
            return "it holds a null character"
        if len(value) > self.max_length:
            return f"it is longer than {self.max_length} characters"
        if self.choices is not None and value not in self.choices:
            return f"it must be one of {', '.join(self.choices)}"
        if self.pattern is not None and re2.fullmatch(self.pattern, value) is None:
            return f"it must match {self.pattern}"
        return None


class CommandSpec(_Section):
    """One registered command."""

    argv: list[str] = Field(min_length=1, max_length=200)
    arguments: dict[str, ArgumentSpec] = {}
    timeout: Duration = Field(default=timedelta(seconds=30), gt=timedelta(0))
    max_output_bytes: int = Field(default=1_000_000, gt=0, le=100_000_000)
    environment: dict[_VARIABLE, str] = {}
    success_codes: list[int] = Field(default=[0], min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if _PLACE.search(self.argv[0]) or not PurePosixPath(self.argv[0]).is_absolute():
            raise ValueError("argv must begin with the absolute path of a program")
        named = {name for element in self.argv for name in _PLACE.findall(element)}
        if named != set(self.arguments):
            odd = ", ".join(sorted(named ^ set(self.arguments)))
            raise ValueError(f"the names in argv and under arguments must be the same: {odd}")
        if any("\0" in text for text in (*self.argv, *self.environment.values())):
            raise ValueError("argv and environment hold no null characters")
        return self

    def argv_of(self, command: str, given: Mapping[str, str]) -> list[str]:
        """The program and its arguments; an element whose argument is left out is left out.

        Raises: NodeError INVALID_CONFIG naming every argument that is refused, without its value.
        """
        faults = [*self._faults(given)]
        if faults:
            message = f"{command}: {'; '.join(faults)}"
            raise NodeError(message, code=INVALID_CONFIG, details={"command": command})
        return [
            _PLACE.sub(lambda match: given[match.group(1)], element)
            for element in self.argv
            if all(name in given for name in _PLACE.findall(element))
        ]

    def _faults(self, given: Mapping[str, str]) -> list[str]:
        known = ", ".join(self.arguments) or "none"
        faults = [f"there is no argument {name[:60]}; known: {known}" for name in given if name not in self.arguments]
        for name, spec in self.arguments.items():
            value = given.get(name)
            if value is None:
                faults += [f"the argument {name} is required"] if spec.required else []
                continue
            fault = spec.fault(value)
            if fault is None and value.startswith("-") and not spec.leading_dash and self._begins_element(name):
                fault = "it must not begin with a dash"
            faults += [f"the argument {name} is refused: {fault}"] if fault else []
        return faults

    def _begins_element(self, name: str) -> bool:
        return any(element.startswith(f"{{{name}}}") for element in self.argv)


class _Names(_Section):
    commands: dict[Annotated[str, StringConstraints(pattern=_NAME)], CommandSpec]


def read_commands(text: str, source: str) -> dict[str, CommandSpec]:
    """Commands by name.

    Raises: ConfigurationError that names the entry.
    """
    try:
        tree: Any = yaml.safe_load(text) or {}
        return _Names.model_validate({"commands": tree}).commands
    except yaml.YAMLError:
        raise ConfigurationError(f"{source} is no YAML mapping of names to commands") from None
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, item['loc'][1:])) or 'the file'}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_input=False)
        ]
        raise ConfigurationError(f"{source}: {'; '.join(problems[:5])}") from None
