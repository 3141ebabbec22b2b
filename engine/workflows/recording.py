"""Recording: what the interpreter itself sends to the record, and how it makes sure that nothing is missing there."""

from __future__ import annotations

from typing import Any, cast

from temporalio import workflow

from engine.contracts import RECORD_ROWS, STORE_VALUE, RecordReply, RecordRequest, StoreRequest
from engine.dag.values import Value
from engine.workflows import options
from engine.workflows.ledger import Ledger


class Recording:
    """The record of one run, as its driver sees it."""

    def __init__(self, meta: dict[str, Any], ledger: Ledger) -> None:
        self._meta = meta
        self._ledger = ledger

    async def confirm(self, path: str = "", iteration: tuple[int, ...] = (), low: int = 0, high: int = 0) -> None:
        """Return when PostgreSQL holds every outcome of this run."""
        while self._ledger.unsent:
            await self.send_rows()
        narrow: dict[str, Any] = {"path": path, "iteration": list(iteration), "low": low, "high": high}
        reply = await self._record([], ask=True, **narrow)
        if reply.present is not None:
            await self.send_missing(reply.present)
        self._ledger.confirmed()

    async def send_rows(self) -> None:
        """Record some of the rows that only this run knows."""
        await self._record(self._ledger.take_unsent(), ask=False)

    async def send_missing(self, present: list[Any]) -> None:
        """Record the rows that the database does not have."""
        missing = self._ledger.missing(present)
        while missing:
            await self._record(self._ledger.take_missing(missing), ask=False)

    async def stored(self, value: Value) -> Value:
        """A value that is made of many parts as one stored value."""
        request = StoreRequest(self._meta, value)
        stored = await workflow.execute_activity(STORE_VALUE, request, result_type=dict, **options.until_done(60))
        return cast("Value", stored)

    async def _record(self, rows: list[Any], *, ask: bool, **narrow: Any) -> RecordReply:
        ledger = self._ledger
        request = RecordRequest(self._meta, rows, ledger.count if ask else -1, ledger.digest, **narrow)
        reply = await workflow.execute_activity(RECORD_ROWS, request, result_type=RecordReply, **options.until_done(60))
        return cast("RecordReply", reply)
