"""Traces: on by the usual variables alone, and one for each execution by its id."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from opentelemetry import trace as api
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from engine.nodes.outbound.addresses import HttpPolicy
from engine.nodes.outbound.client import HttpClient
from engine.nodes.ports import HttpRequest
from engine.telemetry.context import Bound, binding, execution_bound, root_span
from engine.telemetry.tracing import Span, Tracing, activate, is_wanted, note_start, traceparent
from models.ids import new_id
from tests.engine.telemetry.receiver import receiving

ROOT = Path(__file__).parents[3]


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    memory = InMemorySpanExporter()
    tracing = Tracing.over(memory, "test")
    activate(tracing)
    memory.tracing = tracing  # pyright: ignore[reportAttributeAccessIssue]
    yield memory
    activate(None)
    tracing.close()


def finished(exporter: InMemorySpanExporter) -> dict[str, object]:
    exporter.tracing.flush()  # pyright: ignore[reportAttributeAccessIssue]
    return {span.name: span for span in exporter.get_finished_spans()}


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_tracing_is_on_where_the_variables_ask_for_it(variables: dict[str, str], wanted: bool) -> None:
    assert is_wanted(variables) is wanted


def test_nothing_of_the_sdk_is_loaded_while_tracing_is_off() -> None:
    code = (
        "import sys, worker, api.app, scheduler_sync\n"
        "from engine.telemetry.tracing import configure_tracing, tracing\n"
        "assert configure_tracing('worker') is None and tracing() is None\n"
        "ours = ('opentelemetry.sdk.trace', 'opentelemetry.exporter')\n"
        "print([name for name in sys.modules if name.startswith(ours)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={"PATH": ""}, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_span_has_the_ids_it_is_given(exporter: InMemorySpanExporter) -> None:
    trace = new_id().int
    exporter.tracing.emit(Span("child", trace, 7, root_span(trace), 10.0, 12.5, attributes={"a": 1, "b": None}))  # pyright: ignore
    exporter.tracing.emit(Span("root", trace, root_span(trace), 0, 9.0, 13.0, failed="TIMEOUT"))  # pyright: ignore
    spans = finished(exporter)
    child, root = spans["child"], spans["root"]
    assert (child.context.trace_id, child.context.span_id) == (trace, 7)
    assert (child.parent.span_id, root.parent) == (root.context.span_id, None)
    assert (child.start_time, child.end_time) == (10_000_000_000, 12_500_000_000)
    assert dict(child.attributes) == {"a": 1}
    assert root.status.status_code is api.StatusCode.ERROR
    assert dict(root.attributes) == {"error.type": "TIMEOUT"}


def test_spans_of_other_libraries_keep_ids_of_their_own(exporter: InMemorySpanExporter) -> None:
    tracing: Tracing = exporter.tracing  # pyright: ignore[reportAttributeAccessIssue]
    work = execution_bound("t", str(new_id()))
    token = tracing.attach(work)
    with tracing._tracer.start_as_current_span("theirs"):
        pass
    tracing.detach(token)
    theirs = finished(exporter)["theirs"]
    assert (theirs.context.trace_id, theirs.parent.span_id) == (work.trace, work.span)
    assert theirs.context.span_id not in (0, work.span)


def test_the_sampler_keeps_or_drops_a_trace_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    memory = InMemorySpanExporter()
    tracing = Tracing.over(memory, "test")
    traces = [uuid4().int for _ in range(200)]
    for trace in traces:
        tracing.emit(Span("root", trace, root_span(trace), 0, 1, 2))
        tracing.emit(Span("child", trace, 5, root_span(trace), 1, 2))
    tracing.close()
    kept = [span.context.trace_id for span in memory.get_finished_spans()]
    assert 0 < len(set(kept)) < len(traces)
    assert all(kept.count(trace) == 2 for trace in set(kept))


def test_a_request_shares_its_trace_with_the_one_execution_it_starts() -> None:
    trace = new_id()
    with binding(Bound(trace=trace.int, span=3, claimable=True)) as work:
        claimed = work.claim()
        assert claimed == trace
        assert work.claim() is None
        note_start(trace, "manual", "w", 0, 1, None)
        assert work.trace_id == trace.hex
        note_start(uuid4(), "manual", "w", 0, 1, None)
        assert work.started is None


def test_a_start_links_to_the_request_that_is_in_another_trace(exporter: InMemorySpanExporter) -> None:
    execution, original = new_id(), new_id()
    with binding(Bound(trace=11, span=12)) as work:
        note_start(execution, "rerun", "w", 1.0, 2.0, original)
        assert work.trace_id == execution.hex
    start = finished(exporter)["start"]
    assert start.context.trace_id == execution.int
    links = [(link.context.trace_id, link.context.span_id) for link in start.links]
    assert links == [(original.int, root_span(original.int)), (11, 12)]


def test_a_header_is_made_while_tracing_is_on_alone(exporter: InMemorySpanExporter) -> None:
    work = Bound(trace=UUID(int=5).int, span=6)
    assert traceparent(work) == f"00-{5:032x}-{6:016x}-01"
    assert traceparent(Bound()) is None
    activate(None)
    assert traceparent(work) is None


@pytest.mark.parametrize(
    ("propagate_to", "given", "carried"),
    [(["*"], (), True), (["127.0.0.1"], (), True), (["*.example.org"], (), False), ([], (), False)],
)
async def test_calls_tell_the_trace_to_permitted_hosts(
    exporter: InMemorySpanExporter, propagate_to: list[str], given: tuple[str, ...], carried: bool
) -> None:
    with receiving() as receiver:
        async with HttpClient(HttpPolicy(allowed_hosts=["127.0.0.1"]), propagate_to=propagate_to) as client:
            with binding(execution_bound("t", str(new_id()))) as work:
                request = HttpRequest(method="POST", url=f"{receiver.url}/secret-path?token=1")
                await asyncio.wait_for(client.send(request), 10)
    assert ("traceparent" in receiver.calls[0]) is carried
    span = finished(exporter)["HTTP POST"]
    assert (span.context.trace_id, span.parent.span_id) == (work.trace, work.span)
    assert "secret-path" not in str(dict(span.attributes))


async def test_a_header_that_the_node_was_given_wins(exporter: InMemorySpanExporter) -> None:
    mine = f"00-{1:032x}-{2:016x}-00"
    with receiving() as receiver:
        async with HttpClient(HttpPolicy(allowed_hosts=["127.0.0.1"])) as client:
            with binding(execution_bound("t", str(new_id()))):
                request = HttpRequest(method="POST", url=receiver.url, headers=[("traceparent", mine)])
                await asyncio.wait_for(client.send(request), 10)
    assert receiver.calls[0]["traceparent"] == mine
