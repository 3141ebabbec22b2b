"""The compose file, read as data: what would only show on a machine with Docker, and late."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from structforge.devstack.temporal import DYNAMIC_CONFIG, SEARCH_ATTRIBUTES

DOCKER = Path(__file__).parents[2] / "docker"
COMPOSE = cast("dict[str, Any]", yaml.safe_load((DOCKER / "temporal-compose.yml").read_text()))
SERVICES = cast("dict[str, dict[str, Any]]", COMPOSE["services"])
JOBS = {name for name, service in SERVICES.items() if service.get("restart") == "no"}
SECRET_NAME = re.compile(r"PASSWORD|PWD|KEY|AUTH|SECRET|TOKEN")
REQUIRED_VARIABLE = re.compile(r"\$\{\w+:\?[^}]+\}")

services = pytest.mark.parametrize("name", SERVICES)


def test_core_services_are_there() -> None:
    assert set(SERVICES) >= {"postgres", "valkey", "temporal", "temporal-ui", "temporal-schema", "temporal-namespace"}
    assert set(SERVICES) >= {f"structforge-{role}" for role in ("migrate", "api", "worker", "scheduler")}
    assert {"temporal-schema", "temporal-namespace", "structforge-migrate"} == JOBS


@services
def test_service_has_a_health_check_unless_it_is_a_job(name: str) -> None:
    assert ("healthcheck" in SERVICES[name]) != (name in JOBS)


@services
def test_ports_are_published_on_the_loopback_address_alone(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:"), port


@services
def test_secrets_must_be_given_and_have_no_default(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if SECRET_NAME.search(variable):
            assert REQUIRED_VARIABLE.fullmatch(value), variable
        elif "@" in value:
            assert re.search(r"://\w*:\$\{\w+:\?[^}]+\}@", value), variable


@services
def test_dependencies_exist_and_are_waited_for_in_the_right_way(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        assert needed in SERVICES
        assert how["condition"] == ("service_completed_successfully" if needed in JOBS else "service_healthy")


@services
def test_image_is_pinned_by_a_version(name: str) -> None:
    assert re.fullmatch(r"[\w./-]+:\d+(\.\d+)+", SERVICES[name]["image"])


@services
def test_mounts_exist(name: str) -> None:
    for mount in SERVICES[name].get("volumes", []):
        source = mount.split(":")[0]
        assert (DOCKER / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


@services
def test_scripts_named_in_commands_exist(name: str) -> None:
    for word in SERVICES[name].get("entrypoint", []):
        if word.startswith("/scripts/"):
            assert (DOCKER / "temporal" / Path(word).name).exists()


def test_namespace_job_makes_the_search_attributes_of_the_embedded_stack() -> None:
    script = (DOCKER / "temporal" / "namespace.sh").read_text()
    assert " ".join(SEARCH_ATTRIBUTES) in script


def test_dynamic_configuration_agrees_with_the_embedded_stack() -> None:
    values = yaml.safe_load((DOCKER / "temporal" / "dynamic-config.yaml").read_text())
    for name, entries in values.items():
        assert str(entries[0]["value"]).lower() == DYNAMIC_CONFIG[name]


def test_image_runs_as_a_normal_user() -> None:
    lines = (DOCKER / "Dockerfile").read_text().splitlines()
    final_stage = lines[max(number for number, line in enumerate(lines) if line.startswith("FROM")) :]
    users = [line.split()[1] for line in final_stage if line.startswith("USER")]
    assert users
    assert users[-1] not in {"root", "0"}
