"""What is being worked on, for every log line and span of the task that works on it.

The trace of an execution has the execution's id, and its first span the second half of that id. So whoever knows an
execution knows its trace: nothing is carried through Temporal, and no restart, relay or old history loses it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

_HALF = (1 << 64) - 1


@dataclass(slots=True)
class Bound:
    """One request, node execution or other piece of work. Ids are text, `trace` and `span` numbers; 0 is none.

    `started` is the one execution that a request started. `redact` takes the secrets of the work out of a text.
    `attempt` is the node's.
    """

    tenant: str = ""
    execution_id: str = ""
    node: str = ""
    request_id: str = ""
    trace: int = 0
    span: int = 0
    redact: Callable[[str], str] | None = None
    attempt: int = 1
    started: UUID | None = None
    claimable: bool = False
    _starts: int = 0

    @property
    def trace_id(self) -> str:
        """The trace's id in the form of W3C trace contexts; of what a request started, if it did."""
        number = self.trace if self.started is None else self.started.int
        return f"{number:032x}" if number else ""

    def note_started(self, execution_id: UUID) -> None:
        """Learn what the request starts; one that starts several shares the trace of none."""
        self._starts += 1
        self.started = execution_id if self._starts == 1 else None

    def claim(self) -> UUID | None:
        """The id that makes one trace of this request and the execution it starts; one execution can have it."""
        if not self.claimable:
            return None
        self.claimable = False
        return UUID(int=self.trace)


_bound: ContextVar[Bound | None] = ContextVar("structforge_bound", default=None)


def bound() -> Bound | None:
    """What the running task works on."""
    return _bound.get()


@contextmanager
def binding(work: Bound) -> Generator[Bound]:
    """Bind log lines and spans of this block to `work`."""
    token = _bound.set(work)
    try:
        yield work
    finally:
        _bound.reset(token)


def execution_bound(tenant: str, execution_id: str, node: str = "") -> Bound:
    """The binding of work on an execution, with a span of its own."""
    return Bound(tenant, execution_id, node, trace=UUID(execution_id).int, span=new_span())


def root_span(trace: int) -> int:
    """The first span of an execution's trace; never 0, for a UUID's variant is in it."""
    return trace & _HALF


def new_span() -> int:
    return random.getrandbits(64) or 1
