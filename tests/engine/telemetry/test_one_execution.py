"""One real execution over HTTP, Temporal and PostgreSQL: every metric, span and log field of docs/observability.md.

The API, the worker and the scheduler's parts run in this process, so that one registry and one exporter see them all.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import pytest_asyncio
import structlog
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from api.app import create_app, open_first_resources
from engine.activities.observability import Watch
from engine.activities.sampling import Sampler
from engine.settings import Settings
from engine.telemetry import configure_logging, metrics
from engine.telemetry.context import root_span
from engine.telemetry.logs import FIELDS
from engine.telemetry.tracing import activate, configure_tracing
from tests.ai_server import running_ai_server
from tests.api.conftest import KEY, caller
from tests.engine.telemetry.receiver import Receiver, Taken, receiving
from worker import build_worker, open_runtime

pytestmark = pytest.mark.asyncio(loop_scope="session")

TAG = uuid4().hex[:8]
CHILD = f"observed-child-{TAG}"
PAGE = Path(__file__).parents[3] / "docs" / "observability.md"
# Moved by what one good execution has nothing of: schedules, stranded starts, repairs, faults, waiting.
ELSEWHERE = {
    "structforge_schedule_drift_seconds",
    "structforge_relayed_starts",
    "structforge_reconciler_repairs",
    "structforge_recorder_retries",
    "structforge_execution_oldest_pending_seconds",
}
CAN_BE_ZERO = {
    "structforge_executions_open",
    "structforge_workflows_running",
    "structforge_recorder_queued_rows",
    "structforge_log_lines_queued",
    "structforge_task_queue_backlog",
    "structforge_task_queue_backlog_age_seconds",
    "structforge_http_requests_running",
    "structforge_event_loop_lag_seconds",
}


@dataclass(slots=True)
class Seen:
    """What one execution left behind."""

    execution: dict[str, Any]
    child: str
    header: str
    rerun: dict[str, Any]
    receiver: Receiver
    scrape: str
    lines: list[dict[str, Any]]


@pytest.fixture(scope="session")
def _variables() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def seen(engine_servers: Settings, _variables: pytest.MonkeyPatch) -> AsyncIterator[Seen]:
    settings = engine_servers.override(
        {
            "api": {"key": KEY},
            "http": {"allowed_hosts": ["127.0.0.1"]},
            "worker": {"task_queue": f"observed-{uuid4().hex[:8]}"},
        }
    )
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    written = io.StringIO()
    with receiving() as receiver, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        patch.setattr(sys, "stderr", written)
        configure_logging("test", json_lines=True, level="DEBUG")
        tracing = configure_tracing("test")
        assert tracing is not None
        try:
            yield await _run(settings, receiver, written, tracing.flush)
        finally:
            activate(None)
            tracing.close()
            logging.getLogger().handlers[:] = handlers
            logging.getLogger().setLevel(level)
            structlog.contextvars.unbind_contextvars("role")


async def _run(settings: Settings, receiver: Receiver, written: io.StringIO, flush: Any) -> Seen:
    async with (
        open_first_resources(settings) as resources,
        open_runtime(settings) as runtime,
        build_worker(settings, runtime),
        running_ai_server() as ai,
        caller(create_app(settings, resources), KEY) as api,
    ):
        receiver.failures = 1
        await _add_model(api, ai.ollama_url)
        await _save(api, _child())
        workflow = await _save(api, _document(receiver.url))
        answer = await api.post(f"/workflows/{workflow}/execute?mode=sync&wait_s=30", json={})
        execution = answer.json()
        assert execution["status"] == "success", execution["error"]
        again = await api.post(f"/executions/{execution['id']}/rerun", json={"from_node": "double"})
        rerun = again.json()
        for _ in range(200):
            if (await api.get(f"/executions/{rerun['id']}")).json()["finished_at"]:
                break
            await asyncio.sleep(0.05)
        children = (await api.get("/executions", params={"parent": execution["id"]})).json()["items"]
        sampler = Sampler(
            resources.database,
            resources.temporal,
            settings.temporal.namespace,
            [settings.worker.task_queue],
            "test",
            15,
        )
        await sampler.sample()
        await Watch(resources.database, resources.live, resources.temporal.check, 15).look()
        metrics.BUILD.info({"version": "1", "role": "test"})
        await asyncio.to_thread(flush)
        lines = [json.loads(line) for line in written.getvalue().splitlines() if line.startswith("{")]
        scrape = generate_latest(metrics.REGISTRY).decode()
        return Seen(execution, children[0]["id"], answer.headers["x-trace-id"], rerun, receiver, scrape, lines)


async def _save(api: httpx2.AsyncClient, document: dict[str, Any]) -> str:
    answer = await api.post("/workflows", json={"document": document})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def _add_model(api: httpx2.AsyncClient, url: str) -> None:
    model = {
        "name": f"observed-{TAG}",
        "provider": "ollama",
        "model": "gpt",
        "base_url": url,
        "price_input": 1,
        "price_output": 2,
    }
    answer = await api.post("/ai-models", json=model)
    assert answer.status_code in (201, 409), answer.text


KEPT = {"type": "transform", "params": {"mapping": {"a": "{{ 1 + 1 }}"}}, "cache": {"ttl": "1h"}}


def _child() -> dict[str, Any]:
    """Its node does what the parent's has done already."""
    nodes = [{"id": "start", "type": "manual"}, {"id": "kept", **KEPT}]
    return {"name": CHILD, "nodes": nodes, "edges": [{"source": "start", "target": "kept"}]}


def _document(url: str) -> dict[str, Any]:
    retry = {"strategy": "fixed", "interval": "50ms", "max_attempts": 3}
    return {
        "name": f"observed-{TAG}",
        "nodes": [
            {"id": "start", "type": "manual"},
            {"id": "kept", **KEPT},
            {
                "id": "call",
                "type": "http",
                "params": {"method": "POST", "url": f"{url}/call"},
                "on_error": "retry",
                "retry": retry,
            },
            {"id": "ask", "type": "text_generation", "params": {"model": f"observed-{TAG}", "prompt": "hello"}},
            {"id": "broken", "type": "transform", "params": {"mapping": "{{ 1 / 0 }}"}, "on_error": "continue"},
            {"id": "below", "type": "workflow", "params": {"workflow": CHILD, "input": {}}},
            {
                "id": "each",
                "type": "loop",
                "params": {
                    "loop_type": "foreach",
                    "items": [1],
                    "body": {"nodes": [{"id": "same", "type": "transform", "params": {"mapping": "{{ item }}"}}]},
                },
            },
            {"id": "double", "type": "transform", "params": {"mapping": {"b": "{{ 2 * 2 }}"}}},
        ],
        "edges": [
            {"source": "start", "target": "kept"},
            {"source": "kept", "target": "call"},
            {"source": "call", "target": "ask"},
            {"source": "ask", "target": "broken"},
            {"source": "broken", "target": "below"},
            {"source": "below", "target": "each"},
            {"source": "each", "target": "double"},
        ],
    }


# ---- metrics


def _documented(heading: str) -> list[str]:
    """First cells of the table under a heading."""
    section = PAGE.read_text("utf-8").split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^\| `([^`]+)`", section, re.MULTILINE)


async def test_the_documentation_names_every_metric_and_no_other() -> None:
    own = {family.name for family in metrics.REGISTRY.collect() if family.name.startswith("structforge_")}
    assert sorted(_documented("Metrics")) == sorted(own)


async def test_the_execution_went_through_all_of_it(seen: Seen) -> None:
    assert seen.execution["status"] == "success"
    assert seen.execution["handled_failures"] == 1
    assert len(seen.receiver.calls) == 2  # the first was answered 503


async def test_one_execution_moves_every_metric(seen: Seen) -> None:
    moved: set[str] = set()
    known: set[str] = set()
    for family in text_string_to_metric_families(seen.scrape):
        name = family.name.removesuffix("_info")
        known.add(name)
        if any(sample.value > 0 for sample in family.samples) or (name in CAN_BE_ZERO and family.samples):
            moved.add(name)
    wanted = set(_documented("Metrics")) - ELSEWHERE
    assert wanted <= known
    assert sorted(wanted - moved) == []


async def test_metrics_tell_nodes_apart_by_type_status_and_code(seen: Seen) -> None:
    for sample in (
        'structforge_node_executions_total{status="success",type="http"}',
        'structforge_node_executions_total{status="failed",type="transform"}',
        'structforge_node_errors_total{code="EXPRESSION_ERROR",type="transform"}',
        'structforge_node_retries_total{type="http"}',
        'structforge_node_duration_seconds_count{type="text_generation"}',
        'structforge_executions_finished_total{status="success",trigger="manual"}',
        'structforge_executions_created_total{trigger="workflow"}',
        'structforge_ai_tokens_total{direction="output",provider="ollama"}',
        'structforge_http_requests_total{method="POST",route="/api/v1/workflows/{workflow_id}/execute",status="200"}',
    ):
        assert sample in seen.scrape
    assert seen.execution["workflow_id"] not in seen.scrape
    assert seen.execution["id"] not in seen.scrape


# ---- spans


def _names(spans: list[Taken]) -> list[str]:
    return sorted(span.name for span in spans)


async def test_one_trace_leads_from_the_request_into_every_node_and_call(seen: Seen) -> None:
    spans = seen.receiver.of(seen.execution["trace_id"])
    names = _names(spans)
    for name in (
        "POST /api/v1/workflows/{workflow_id}/execute",
        "start",
        "execution",
        "region",
        "node manual",
        "node transform",
        "node http",
        "node text_generation",
        "node workflow",
        "HTTP POST",
    ):
        assert name in names
    assert names.count("execution") == 1
    assert names.count("node http") == 2  # an attempt each
    assert names.count("HTTP POST") == 3  # two calls of the node, one of the AI model
    (root,) = [span for span in spans if not span.parent]
    assert root.name == "execution"
    ids = {span.id for span in spans}
    assert len(ids) == len(spans)
    assert all(span.parent in ids for span in spans if span is not root)
    assert all(root.began <= span.began and span.began <= span.ended for span in spans)


async def test_the_trace_is_named_by_header_row_and_id(seen: Seen) -> None:
    assert seen.header == seen.execution["trace_id"] == UUID(seen.execution["id"]).hex


async def test_an_outgoing_call_carries_the_trace_on(seen: Seen) -> None:
    calls = [span.id for span in seen.receiver.of(seen.header) if span.name == "HTTP POST"]
    for headers in seen.receiver.calls:
        version, trace, span, flags = headers["traceparent"].split("-")
        assert (version, trace, flags) == ("00", seen.header, "01")
        assert span in calls


async def test_a_failed_attempt_is_marked_in_the_trace(seen: Seen) -> None:
    attempts = [span for span in seen.receiver.of(seen.header) if span.name == "node http"]
    assert sorted((span.failed, span.attributes["structforge.node.attempt"]) for span in attempts) == [
        (False, 2),
        (True, 1),
    ]
    assert [span.attributes["error.type"] for span in attempts if span.failed] == ["EXTERNAL_ERROR"]


async def test_children_and_reruns_have_traces_of_their_own_that_link_back(seen: Seen) -> None:
    root = f"{root_span(UUID(seen.execution['id']).int):016x}"
    for other in (seen.child, seen.rerun["id"]):
        spans = seen.receiver.of(UUID(other).hex)
        assert "execution" in _names(spans)
        (start,) = [span for span in spans if span.name == "start"]
        assert (seen.header, root) in start.links


async def test_the_documentation_names_every_span_and_attribute(seen: Seen) -> None:
    documented = _documented("Traces")
    names = {name for name in documented if "." not in name}
    kinds = {re.sub(r"^(node|HTTP) .*", r"\1", span.name) for span in seen.receiver.spans}
    kinds = {"request" if "/" in kind else kind for kind in kinds}
    assert kinds == names
    attributes = {name for span in seen.receiver.spans for name in span.attributes}
    assert attributes <= set(documented) - names
    assert set(documented) - names - attributes <= {"structforge.node.generation"}


# ---- logs


async def test_the_documentation_names_every_field_of_a_line() -> None:
    assert _documented("Logs") == list(FIELDS)


async def test_lines_of_the_execution_carry_every_field(seen: Seen) -> None:
    own = [line for line in seen.lines if line.get("trace_id") == seen.header]
    fields = {name for line in own for name in line}
    assert sorted(set(FIELDS) - fields) == []
    (node,) = [line for line in own if "attempt 2 of call" in line["event"]]
    assert (node["node"], node["execution_id"], node["level"]) == ("call", seen.execution["id"], "debug")
    assert node["tenant"] == next(line["tenant"] for line in own if "request_id" in line)
    assert node["span_id"] in {span.id for span in seen.receiver.of(seen.header)}
