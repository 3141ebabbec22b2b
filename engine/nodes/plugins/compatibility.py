"""Whether a plugin works with this version of StructForge."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

import engine
from engine.nodes.plugins.manifest import PluginFault

DISTRIBUTION = "structforge"


@cache
def core_version() -> str:
    """Version of this StructForge, of an installation or of a checkout."""
    project = Path(engine.__file__).parent.parent / "pyproject.toml"
    if project.exists():
        return str(tomllib.loads(project.read_text("utf-8"))["project"]["version"])
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "0"


def check_requirement(wanted: str) -> None:
    """Raises: PluginFault if `wanted`, such as `>=0.1,<1`, is no version range or excludes this version."""
    try:
        versions = SpecifierSet(wanted)
    except InvalidSpecifier:
        raise PluginFault(f"requires_structforge: {wanted!r} is no version range", "write it as >=0.1,<1") from None
    if not versions.contains(core_version(), prereleases=True):
        message = f"it requires structforge {wanted}, and this is {core_version()}"
        raise PluginFault(message, "install a version of the plugin for this structforge")


def requirement_of(distribution: Distribution) -> str:
    """The version range of structforge that an installed distribution requires; "" if it names none."""
    for line in distribution.requires or []:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.name == DISTRIBUTION and requirement.marker is None:
            return str(requirement.specifier)
    return ""
