"""The compose file as data: anchors resolved, variables at their defaults."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import yaml

DOCKER = Path(__file__).parents[2] / "docker"
SECRETS = "/run/secrets/"
_VARIABLE = re.compile(r"\$\{\w+:-([^}]*)\}")
_TEXT = _VARIABLE.sub(r"\1", (DOCKER / "temporal-compose.yml").read_text("utf-8"))

COMPOSE = cast("dict[str, Any]", yaml.safe_load(_TEXT))
SERVICES = cast("dict[str, dict[str, Any]]", COMPOSE["services"])
JOBS = {name for name, service in SERVICES.items() if service.get("restart") == "no"}


def image_environment() -> dict[str, str]:
    """What the Dockerfile sets for every process of StructForge."""
    text = (DOCKER / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line.removeprefix("ENV ") for line in text.splitlines() if line.startswith("ENV ")]
    return dict(pair.split("=", 1) for line in lines for pair in line.split())
