"""How `make test` deals the tests out to its processes, each of which has servers of its own.

What is dealt is a file, except where a server takes long to start: files that share one go to the same process, and
tests that each start a whole system are dealt one by one. Those that wait longest are dealt first, so that the many
short ones fill up the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from collections.abc import Iterable

# Every test starts a whole system and shares nothing.
ALONE = (
    "tests/faults/",
    "tests/docs/test_first_five_minutes.py",
    "tests/structforge/test_up.py",
    "tests/examples/test_alone.py",
    "tests/structforge/devstack/",
    "tests/structforge/test_doctor.py",
    "tests/plugins/test_up.py",
)
# Files of one line share a server: a broker, `structforge up`, a Temporal server with short histories.
TOGETHER = {
    "a broker": (
        "tests/engine/activities/clients/brokers/",
        "tests/engine/workflows/test_receipts.py",
        "tests/examples/test_node_types.py",
        "tests/engine/nodes/integration/test_database.py",
    ),
    "a served folder": (
        "tests/examples/test_error_strategies.py",
        "tests/examples/test_nested.py",
        "tests/examples/test_weather.py",
        "tests/structforge/cli/test_library.py",
        "tests/structforge/cli/test_execution_records.py",
        "tests/structforge/cli/test_server.py",
    ),
    "short histories": (
        "tests/engine/workflows/test_approval_long.py",
        "tests/engine/workflows/test_continue_as_new.py",
        "tests/engine/workflows/test_shards.py",
    ),
}
# Files that wait for servers; all others mostly compute.
WAITING = (
    "tests/engine/workflows/",
    "tests/plugins/",
    "tests/api/",
    "tests/security/",
    "tests/examples/",
    "tests/structforge/",
    "tests/test_scheduler_sync.py",
    "tests/models/",
    "tests/engine/activities/",
)


def unit_of(nodeid: str) -> str:
    """The tests that are dealt together with this one: equal for all of them."""
    path = nodeid.partition("::")[0]
    if path.startswith(ALONE):
        return nodeid
    return next((name for name, parts in TOGETHER.items() if path.startswith(parts)), path)


def rank_of(nodeid: str) -> int:
    """Units of a lower rank are dealt earlier."""
    path = nodeid.partition("::")[0]
    if path.startswith(ALONE):
        return 0
    if any(path.startswith(parts) for parts in TOGETHER.values()):
        return 1
    return 2 if path.startswith(WAITING) else 3


class Spreading(LoadScopeScheduling):
    """Deals units out in the order in which they are collected."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # by the number of tests, which says nothing of the time they take

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def in_dealing_order(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """As they are collected, those that are dealt first before the others."""
    return sorted(items, key=lambda item: rank_of(item.nodeid))


class FailuresAtOnce:
    """Tells of a failure when it happens, in a line; the whole of it comes at the end, which is minutes away."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and terminal is not None:
            crash = getattr(report.longrepr, "reprcrash", None)
            text = crash.message if crash else report.longreprtext
            terminal.write(f"\nFAILED ({report.when}) {report.nodeid}: {text.strip()[:500]}\n", red=True)
