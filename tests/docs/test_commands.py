"""Commands in the pages exist."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import typer.main

from api.app import create_app
from engine.settings import load_settings
from structforge.cli.main import app
from tests.docs.pages import DOCS, ROOT, WRITTEN, blocks

LINES = [
    line.partition("#")[0].strip()
    for path in WRITTEN
    for block in blocks(path, "bash")
    for line in block.splitlines()
    if line.partition("#")[0].strip()
]
INLINE = re.findall(r"`(structforge [^`]+)`", "\n".join(path.read_text("utf-8") for path in WRITTEN))
_GENERATED = "\n".join((DOCS / name).read_text("utf-8") for name in ("generate.py", "codes.yaml"))
INLINE += re.findall(r"`(structforge [^`]+)`", _GENERATED)
_MAKE = re.compile(r"^make (\w+)$")


def test_the_pages_have_commands() -> None:
    assert {"make run", "make test", "structforge run orders.yaml"} <= set(LINES)
    assert "structforge doctor" in INLINE


@pytest.mark.parametrize("line", sorted(set(LINES)))
def test_every_command_line_starts_something_that_exists(line: str) -> None:
    if match := _MAKE.match(line):
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert match[1] in targets
    elif line.startswith("structforge "):
        assert_command(line)
    else:
        assert line.startswith(("export PATH=", "kill -9 "))


ROUTES = re.findall(r"`(GET|POST|PUT|DELETE) (/[^` ]+)`", (ROOT / "README.md").read_text("utf-8"))


def test_every_route_that_is_mentioned_exists() -> None:
    served = create_app(load_settings()).openapi()["paths"]
    assert len(ROUTES) >= 4
    assert [(method, path) for method, path in ROUTES if method.lower() not in served.get(path, {})] == []


@pytest.mark.parametrize("text", sorted(set(INLINE)))
def test_every_command_that_is_mentioned_exists(text: str) -> None:
    assert_command(text)


def test_a_command_or_option_that_does_not_exist_is_noticed() -> None:
    for line in ("structforge explode", "structforge run x.yaml --explode", "structforge node explode"):
        with pytest.raises(AssertionError):
            assert_command(line)


def assert_command(line: str) -> None:
    """Follow the words into the command's groups and check that every option is known there."""
    command: Any = typer.main.get_command(app)
    words = shlex.split(line)[1:]
    while hasattr(command, "commands"):
        assert words, f"{line}: names a group and no command"
        assert words[0] in command.commands, line
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known, line
