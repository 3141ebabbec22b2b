"""Traces by OpenTelemetry, sent by OTLP where the usual `OTEL_` variables say so; without them nothing is loaded.

Spans are made when they end, under ids that are known before (`engine.telemetry.context`), so that a part of a trace
needs no other process to have begun it. Attributes hold names, types, counts and codes: no data, no addresses with a
path, no messages of errors.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from engine.telemetry.context import Bound, bound, new_span, root_span

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.sdk.trace.sampling import Sampler

Kind = Literal["internal", "server", "client"]
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
CLOSE_MS = 2000

# Names of all spans; docs/observability.md says what they mean.
SPAN_EXECUTION = "execution"
SPAN_START = "start"
SPAN_NODE = "node"
SPAN_REGION = "region"
SPAN_CLIENT = "HTTP"
SPAN_SERVER = "request"


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of work that is over. Times are seconds since the epoch, ids numbers; `parent` 0 is none.

    `failed` is the code of its error. `links` are (trace, span) of others. `sampled` None lets the sampler decide.
    """

    name: str
    trace: int
    id: int
    parent: int
    began: float
    ended: float
    kind: Kind = "internal"
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    failed: str | None = None
    links: Sequence[tuple[int, int]] = ()
    sampled: bool | None = None


class Tracing:
    """Sends spans. Made by `configure_tracing`, or with an exporter of one's own."""

    def __init__(self, provider: TracerProvider, ids: Any, sampler: Sampler) -> None:
        self._provider = provider
        self._ids = ids
        self._sampler = sampler
        self._tracer = provider.get_tracer("structforge")

    @classmethod
    def over(cls, exporter: SpanExporter, role: str, instance: str = "") -> Tracing:
        """Spans go to `exporter` in batches, from a thread. The variables of sampling and batching apply."""
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased

        known = {"service.instance.id": instance} if instance else {}
        if not os.environ.get("OTEL_SERVICE_NAME"):
            known["service.name"] = f"structforge-{role}"
        ids = _id_generator()
        provider = TracerProvider(resource=Resource.create(known), id_generator=ids, shutdown_on_exit=False)
        wanted, provider.sampler = provider.sampler, ParentBased(ALWAYS_ON)  # by then it is decided: see `sampled`
        provider.add_span_processor(BatchSpanProcessor(exporter))
        return cls(provider, ids, wanted)

    def sampled(self, trace: int) -> bool:
        """Whether this trace is kept; all processes come to the same answer.

        Samplers take the second half of an id for a random number, and that of a UUID begins with its variant.
        """
        mixed = int.from_bytes(blake2b(trace.to_bytes(16, "big"), digest_size=16).digest(), "big")
        return self._sampler.should_sample(None, mixed, SPAN_EXECUTION).decision.is_sampled()

    def emit(self, span: Span) -> None:
        """Send a span, if its trace is kept."""
        if not (self.sampled(span.trace) if span.sampled is None else span.sampled):
            return
        from opentelemetry import trace as api

        parent = api.set_span_in_context(api.NonRecordingSpan(_context(span.trace, span.parent or 1)))
        self._ids.given(span.trace, span.id)
        made = self._tracer.start_span(
            span.name,
            parent if span.parent else _empty(),
            kind=api.SpanKind[span.kind.upper()],
            attributes={name: value for name, value in span.attributes.items() if value is not None},
            links=[api.Link(_context(*linked)) for linked in span.links],
            start_time=int(span.began * 1e9),
        )
        self._ids.given(0, 0)
        if span.failed is not None:
            made.set_attribute("error.type", span.failed)
            made.set_status(api.StatusCode.ERROR)
        made.end(int(max(span.began, span.ended) * 1e9))

    def attach(self, work: Bound) -> Any:
        """Make `work` the current span of OpenTelemetry, for libraries that make spans of their own; see `detach`."""
        from opentelemetry import context, trace

        current = _context(work.trace, work.span, sampled=self.sampled(work.trace))
        return context.attach(trace.set_span_in_context(trace.NonRecordingSpan(current)))

    def detach(self, token: Any) -> None:
        from opentelemetry import context

        context.detach(token)

    def flush(self) -> None:
        """Send what waits, for `CLOSE_MS` at most."""
        self._provider.force_flush(CLOSE_MS)

    def close(self) -> None:
        self.flush()
        self._provider.shutdown()


_active: Tracing | None = None


def tracing() -> Tracing | None:
    """The way of this process's spans; None while tracing is off."""
    return _active


def activate(one: Tracing | None) -> None:
    """Send spans of this process from here on to `one`, or nowhere."""
    global _active
    _active = one


def configure_tracing(role: str, instance: str = "") -> Tracing | None:
    """Turn tracing on if the environment names where spans go, else leave it off and load nothing."""
    if not is_wanted(os.environ):
        activate(None)
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    made = Tracing.over(OTLPSpanExporter(), role, instance)
    activate(made)
    return made


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the variables ask for traces: an OTLP endpoint, or the exporter by its name; and none turns it off."""
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return False
    return exporter == "otlp" or any(environment.get(name) for name in ENDPOINTS)


def traceparent(work: Bound) -> str | None:
    """The W3C header that continues the trace of `work` elsewhere; None while tracing is off."""
    if _active is None or not work.trace or not work.span:
        return None
    return f"00-{work.trace:032x}-{work.span:016x}-{'01' if _active.sampled(work.trace) else '00'}"


@dataclass(slots=True)
class Call:
    """An outgoing call under way: `headers` continue the trace there, `status` is what came back."""

    headers: list[tuple[str, str]]
    status: int | None = None


@asynccontextmanager
async def outgoing_call(work: Bound, method: str, host: str, port: int | None) -> AsyncGenerator[Call]:
    """Trace a call over HTTP that `work` makes: until its headers are back. The address is told without its path."""
    inner = Bound(trace=work.trace, span=new_span())
    header, began, failed = traceparent(inner), time.time(), None
    call = Call([] if header is None else [("traceparent", header)])
    try:
        yield call
    except BaseException as error:
        failed = type(error).__name__
        raise
    finally:
        if _active is not None and work.trace:
            facts = {"http.request.method": method, "server.address": host, "server.port": port}
            facts["http.response.status_code"] = call.status
            if call.status is not None and call.status >= 400:
                failed = str(call.status)
            name, span = f"{SPAN_CLIENT} {method}", inner.span
            _active.emit(Span(name, work.trace, span, work.span, began, time.time(), "client", facts, failed))


def note_start(execution_id: UUID, trigger: str, workflow: str, began: float, ended: float, other: UUID | None) -> None:
    """Tell the trace of a new execution where it comes from: the request or node under way, and `other`, its original.

    The request learns what it started.
    """
    work = bound()
    if work is not None and not work.execution_id:
        work.note_started(execution_id)
    if _active is None:
        return
    trace = execution_id.int
    links = [] if other is None else [(other.int, root_span(other.int))]
    if work is not None and work.trace and work.trace != trace:
        links.append((work.trace, work.span))
    attributes = {"structforge.trigger": trigger, "structforge.workflow": workflow}
    attributes["structforge.execution.id"] = str(execution_id)
    span = (trace ^ 1) & ((1 << 64) - 1)
    _active.emit(Span(SPAN_START, trace, span, root_span(trace), began, ended, attributes=attributes, links=links))


def _context(trace: int, span: int, *, sampled: bool = True) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags

    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    return SpanContext(trace, span, is_remote=True, trace_flags=flags)


def _empty() -> Any:
    from opentelemetry.context import Context

    return Context()


def _id_generator() -> Any:
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class Given(RandomIdGenerator):
        """Ids that are known before; random ones for spans of libraries."""

        def __init__(self) -> None:
            self._next = threading.local()

        def given(self, trace: int, span: int) -> None:
            self._next.trace, self._next.span = trace, span

        def generate_trace_id(self) -> int:
            return getattr(self._next, "trace", 0) or super().generate_trace_id()

        def generate_span_id(self) -> int:
            return getattr(self._next, "span", 0) or super().generate_span_id()

    return Given()
