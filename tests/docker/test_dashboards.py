"""Dashboards and alert rules name only metrics and labels that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.activities.clients.temporal_metrics import expose_sdk_metrics
from engine.telemetry import metrics

DOCKER = Path(__file__).parents[2] / "docker"
DASHBOARDS = sorted((DOCKER / "grafana" / "dashboards").glob("*.json"))
RULES = DOCKER / "prometheus" / "alerts.yml"
WORDS = frozenset(
    {"sum", "rate", "increase", "max", "min", "avg", "count", "by", "on", "and", "or", "unless", "without"}
    | {"ignoring", "histogram_quantile", "le", "bool", "offset"}
)
# What Prometheus adds to every series.
TARGET_LABELS = frozenset({"job", "instance", "le"})
# Of Temporal's library, as temporalio 1.35 names them with the options of `expose_sdk_metrics`.
TEMPORAL = {
    "temporal_request_latency_seconds_bucket": {"operation"},
    "temporal_worker_task_slots_available": {"worker_type"},
    "temporal_workflow_task_execution_latency_seconds_bucket": set[str](),
}


def expressions() -> Iterator[tuple[str, str]]:
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text("utf-8"))["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]
    for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"]:
        for rule in group["rules"]:
            yield f"alert {rule['alert']}", rule["expr"]


EXPRESSIONS = list(expressions())


def names_of(expression: str) -> set[str]:
    """Metrics that a PromQL expression names: identifiers that are no function, keyword or label."""
    bare = re.sub(r"\{[^}]*\}", "", expression)
    bare = re.sub(r"\b(by|on|without|ignoring)\s*\([^)]*\)", "", bare)
    bare = re.sub(r"\[[^\]]*\]|\"[^\"]*\"", "", bare)
    return {word for word in re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", bare) if word not in WORDS and word != "e9"}


def labels_of(expression: str) -> set[str]:
    matched = {name for part in re.findall(r"\{([^}]*)\}", expression) for name in re.findall(r"(\w+)\s*[=!]", part)}
    grouped = {
        name.strip() for part in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression) for name in part.split(",")
    }
    return matched | grouped


def known_labels() -> set[str]:
    found = set(TARGET_LABELS).union(*TEMPORAL.values())
    for collector in metrics.REGISTRY._collector_to_names:
        found |= set(getattr(collector, "_labelnames", ()) or getattr(collector, "_labels", ()) or ())
    return found | {"version", "role"}


def test_there_are_dashboards_and_rules() -> None:
    assert len(DASHBOARDS) == 2
    assert len(EXPRESSIONS) > 50


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_an_expression_names_only_what_exists(where: str, expression: str) -> None:
    known = set(metrics.samples()) | TEMPORAL.keys()
    assert names_of(expression)
    assert names_of(expression) <= known, where
    assert labels_of(expression) <= known_labels(), where


def test_an_unknown_metric_or_label_is_noticed() -> None:
    assert not names_of("rate(structforge_gone_total[5m])") <= set(metrics.samples())
    assert names_of('sum by (a) (rate(x_total{b="c"}[5m])) / 2 > 2e9') == {"x_total"}
    assert labels_of('sum by (a, d) (rate(x_total{b="c", f=~"g"}[5m]))') == {"a", "d", "b", "f"}


def test_every_metric_of_ours_is_shown_somewhere() -> None:
    shown = {name for _, expression in EXPRESSIONS for name in names_of(expression)}
    own = {family.name for family in metrics.REGISTRY.collect() if family.name.startswith("structforge_")}
    ends = ("", "_total", "_bucket", "_info")
    assert sorted(name for name in own if not any(name + end in shown for end in ends)) == []


def test_alerts_say_what_is_wrong_and_how_bad_it_is() -> None:
    rules: list[dict[str, Any]] = [
        rule for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]
    ]
    assert all(rule["annotations"]["summary"] for rule in rules)
    assert {rule["labels"]["severity"] for rule in rules} == {"critical", "warning"}
    assert len({rule["alert"] for rule in rules}) == len(rules)


def test_metrics_of_temporals_library_are_served_at_a_loopback_port() -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/metrics", expose_sdk_metrics())
