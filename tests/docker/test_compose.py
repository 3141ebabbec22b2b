"""The compose file, read as data: what would only show on a machine with Docker, and late."""

from __future__ import annotations

import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.keyring import Keys
from structforge.devstack.temporal import DYNAMIC_CONFIG, SEARCH_ATTRIBUTES
from tests.docker.compose import COMPOSE, DOCKER, JOBS, SECRETS, SERVICES, image_environment
from tests.structforge.devstack.conftest import settings_for

SECRET_NAME = re.compile(r"(^|_)(PASSWORD|PWD|KEYS?|SECRET|TOKEN)(_|$)|DATABASE__.*URL|REDIS__URL")
NOTHING_TO_ASK_WITH = {"otel-collector"}  # its image holds one program
SERVERS = {"postgres", "valkey", "objects"}

services = pytest.mark.parametrize("name", SERVICES)


def test_services_of_both_profiles_are_there() -> None:
    profiles: dict[str, set[str]] = {}
    for name, service in SERVICES.items():
        for profile in service["profiles"]:
            profiles.setdefault(profile, set()).add(name)
    roles = {f"structforge-{role}" for role in ("migrate", "api", "worker", "worker-ai", "worker-tools", "scheduler")}
    temporal = {"temporal", "temporal-ui", "temporal-schema", "temporal-namespace"}
    assert profiles == {
        "core": SERVERS | temporal | roles,
        "observability": {"prometheus", "grafana", "otel-collector", "jaeger"},
    }
    assert {"temporal-schema", "temporal-namespace", "structforge-migrate"} == JOBS


def test_a_parser_of_the_compose_specification_finds_nothing_wrong() -> None:
    assert _problem(COMPOSE) is None


@pytest.mark.parametrize(
    "change", [{"healthchek": {}}, {"networks": ["nowhere"]}, {"stop_grace_period": "a while"}, {"secrets": ["none"]}]
)
def test_that_parser_would_notice(change: dict[str, Any]) -> None:
    changed = COMPOSE | {"services": SERVICES | {"valkey": SERVICES["valkey"] | change}}
    assert _problem(changed) is not None


def _problem(document: dict[str, Any]) -> str | None:
    compose_spec = pytest.importorskip("compose_spec")

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    try:
        parsed = compose_spec.PyCompose.from_yaml(yaml.dump(document, Dumper=Plain))
        parsed.validate()
    except ValueError as error:
        return str(error)
    return None


@services
def test_service_has_a_health_check_unless_it_is_a_job(name: str) -> None:
    check = SERVICES[name].get("healthcheck", {"disable": True})
    assert bool(check.get("disable")) == (name in JOBS | NOTHING_TO_ASK_WITH)


@services
def test_service_starts_again_and_has_bounds(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == ("no" if name in JOBS else "unless-stopped")
    assert set(service["deploy"]["resources"]["limits"]) >= {"cpus", "memory"}
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@services
def test_ports_are_published_on_the_loopback_address_alone(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_servers_with_data_are_on_a_network_without_a_way_out() -> None:
    assert COMPOSE["networks"]["data"] == {"internal": True}
    assert all(SERVICES[name]["networks"] == ["data"] and "ports" not in SERVICES[name] for name in SERVERS)


@services
def test_secrets_are_files_and_nothing_else(name: str) -> None:
    mounted = set(SERVICES[name].get("secrets", []))
    assert mounted <= set(COMPOSE["secrets"])
    for variable, value in SERVICES[name].get("environment", {}).items():
        assert not re.search(r"://[^/]*@", str(value)), variable
        if SECRET_NAME.search(variable):
            assert variable.endswith("_FILE"), variable
            assert str(value).removeprefix(SECRETS) in mounted, variable


@services
def test_dependencies_exist_and_are_waited_for_in_the_right_way(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        assert set(SERVICES[name]["profiles"]) <= set(SERVICES[needed]["profiles"])
        assert how["condition"] == ("service_completed_successfully" if needed in JOBS else "service_healthy")


@services
def test_image_is_pinned_by_a_version(name: str) -> None:
    assert re.fullmatch(r"[\w./-]+:v?\d+(\.\d+)+", SERVICES[name]["image"])


@services
def test_mounts_and_the_scripts_in_them_exist(name: str) -> None:
    service = SERVICES[name]
    places: dict[str, Path] = {}
    for mount in service.get("volumes", []):
        source, target = mount.split(":")[:2]
        if source.startswith("."):
            assert mount.endswith(":ro")
            places[target] = DOCKER / source
        else:
            assert source in COMPOSE["volumes"]
    words = [
        *service.get("entrypoint", []),
        *service.get("command", []),
        *service.get("healthcheck", {}).get("test", []),
    ]
    for word in (word.rpartition("=")[2] for word in words):
        place = next((target for target in places if word.startswith(f"{target}/")), None)
        assert place is None or (places[place] / word.removeprefix(f"{place}/")).is_file(), word
    assert all(place.is_dir() for place in places.values())


def test_namespace_job_makes_the_search_attributes_of_the_embedded_stack() -> None:
    script = (DOCKER / "temporal" / "namespace.sh").read_text()
    assert " ".join(SEARCH_ATTRIBUTES) in script


def test_dynamic_configuration_agrees_with_the_embedded_stack() -> None:
    values = yaml.safe_load((DOCKER / "temporal" / "dynamic-config.yaml").read_text())
    for name, entries in values.items():
        assert str(entries[0]["value"]).lower() == DYNAMIC_CONFIG[name]


def test_payloads_are_sealed() -> None:
    serving = [one for name, one in SERVICES.items() if name.startswith("structforge-") and name not in JOBS]
    assert len(serving) == 5
    assert {one["environment"]["STRUCTFORGE_CODEC__ENCRYPT"] for one in serving} == {"true"}


def test_prometheus_asks_every_process_that_shows_metrics() -> None:
    config = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text())
    asked: set[str] = set()
    for job in config["scrape_configs"]:
        asked |= {target.partition(":")[0] for part in job.get("static_configs", []) for target in part["targets"]}
        asked |= {name for part in job.get("dns_sd_configs", []) for name in part["names"]}
    showing = {name for name, one in SERVICES.items() if "STRUCTFORGE_METRICS__PORT" in one.get("environment", {})}
    assert asked == showing | {"temporal"}
    assert "outside" in SERVICES["prometheus"]["networks"]


def test_image_runs_as_a_normal_user_and_asks_itself_how_it_is() -> None:
    lines = (DOCKER / "Dockerfile").read_text().splitlines()
    final_stage = lines[max(number for number, line in enumerate(lines) if line.startswith("FROM")) :]
    users = [line.split()[1] for line in final_stage if line.startswith("USER")]
    assert users
    assert users[-1] not in {"root", "0"}
    assert any(line.endswith('CMD ["structforge", "health"]') for line in final_stage)
    assert image_environment()["STRUCTFORGE_HEALTH__PORT"]


def test_the_image_takes_every_module_of_the_application() -> None:
    text = (DOCKER / "Dockerfile").read_text()
    taken = {line.split()[1] for line in text.splitlines() if line.startswith("COPY ") and "--from" not in line}
    taken |= {word for line in text.splitlines() if line.startswith("COPY ") for word in line.split()[1:-1]}
    allowed = {line.removeprefix("!") for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()}
    source = {"structforge", "engine", "api", "models", "worker.py", "scheduler_sync.py", "requirements.lock"}
    assert source <= taken
    assert source <= allowed


def test_secrets_are_made_once_and_for_the_containers_alone(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    first = _make(folder)
    again = _make(folder)

    assert set(first) == set(COMPOSE["secrets"])
    assert first == again
    assert len(set(first.values())) == len(first)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}
    assert first["database_url"] == f"postgresql://structforge_app:{first['app_password']}@postgres:5432/structforge"
    sealed = settings_for(tmp_path).override({"encryption": {"keys": first["encryption_keys"]}})
    assert len(Keys(sealed).ring().keys["first"]) == 32


def _make(folder: Path) -> dict[str, str]:
    subprocess.run(["sh", str(DOCKER / "make-secrets.sh"), str(folder)], check=True, capture_output=True, timeout=60)
    return {path.name: path.read_text().strip() for path in folder.iterdir()}
