"""What processes tell of themselves: logs, metrics and traces.

Names of all of it are a contract with operators: they stand in docs/observability.md, and a test compares.
"""

from engine.telemetry.logs import configure_logging

__all__ = ["configure_logging"]
