"""Metrics of Temporal's own library: it serves them itself, at a loopback port, and ours are shown beside them."""

from __future__ import annotations

import socket

from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig


def expose_sdk_metrics() -> str:
    """Have Temporal's library count from here on; the URL of its metrics. Before the first client is connected.

    Counters end in `_total`, durations are in seconds.
    """
    address = f"127.0.0.1:{_free_port()}"
    prometheus = PrometheusConfig(
        bind_address=address, counters_total_suffix=True, unit_suffix=True, durations_as_seconds=True
    )
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(metrics=prometheus)), error_if_already_set=False)
    return f"http://{address}/metrics"


def _free_port() -> int:
    """The library cannot say which port it was given, so it is told one that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
