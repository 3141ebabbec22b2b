"""A new plugin: manifest, node type, test and README."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from string import Template

from engine.errors import ConfigurationError
from engine.nodes.plugins.compatibility import core_version
from structforge.scaffolding import templates

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}(\.[a-z][a-z0-9_]{0,59})?")
_CATEGORIES = ("ai", "data", "integration", "tool")
_DEFAULT_TYPE = "run"


@dataclass(frozen=True, slots=True)
class Scaffold:
    """What was written, and what a person does next."""

    files: list[Path]
    next_steps: str


def scaffold(name: str, *, category: str, folder: Path, isolated: bool) -> Scaffold:
    """Write a plugin into a new folder below `folder`; `name` is `acme` or `acme.greet`.

    Raises: ConfigurationError for a name or category that cannot be, or a folder that is there already.
    """
    _check(name, category)
    plugin, _, node = name.partition(".")
    node = node or _DEFAULT_TYPE
    place = folder / plugin
    words = _words(plugin, node, category)
    contents = {
        "plugin.toml": templates.MANIFEST + (templates.ISOLATION if isolated else ""),
        f"{node}.py": templates.NODE,
        f"test_{plugin}_{node}.py": templates.TEST,
        "README.md": templates.README + (templates.README_ISOLATED if isolated else ""),
    }
    try:
        place.mkdir(parents=True)
        for file_name, text in contents.items():
            (place / file_name).write_text(Template(text).substitute(words), "utf-8")
    except FileExistsError:
        hint = {"hint": "take another name, or add a file beside its plugin.toml"}
        raise ConfigurationError(f"{place} is there already", details=hint) from None
    except OSError as error:
        raise ConfigurationError(f"{place} cannot be written: {error.strerror}") from None
    return Scaffold([place / file_name for file_name in contents], _next_steps(place, plugin, isolated=isolated))


def _check(name: str, category: str) -> None:
    if _NAME.fullmatch(name) is None:
        hint = {"hint": "write acme, or acme.greet: lower-case letters, digits and _"}
        raise ConfigurationError(f"{name} cannot name a plugin", details=hint)
    if category not in _CATEGORIES:
        raise ConfigurationError(f"{category} is no category of plugins", details={"hint": ", ".join(_CATEGORIES)})


def _words(plugin: str, node: str, category: str) -> dict[str, str]:
    major, minor = [*core_version().split("."), "0"][:2]
    following = f"0.{int(minor) + 1}" if major == "0" else str(int(major) + 1)
    return {
        "plugin": plugin,
        "node": node,
        "type": f"{plugin}.{node}",
        "category": category,
        "class_name": "".join(part.capitalize() for part in node.split("_")),
        "requires": f">={major}.{minor},<{following}",
    }


def _next_steps(place: Path, plugin: str, *, isolated: bool) -> str:
    then = f"structforge plugin describe {plugin}, then restart the workers" if isolated else "restart the processes"
    return f"test it with pytest {place}, then: {then}"
