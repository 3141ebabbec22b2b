"""A deadline that costs nothing for what never waits, as nearly every local node: no timer is set for those."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

_Result = TypeVar("_Result")


async def within(seconds: float, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
    """The coroutine's result; the clock starts when it first waits for something.

    Raises: TimeoutError past the deadline.
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration as ended:
        return ended.value
    async with asyncio.timeout(seconds):
        return await _resumed(coroutine, waits_for)


@types.coroutine
def _resumed(coroutine: Coroutine[Any, Any, _Result], waits_for: Any) -> Generator[Any, Any, _Result]:
    """Wait for what the coroutine has asked for already, then go on with it as `await` would."""
    while True:
        try:
            try:
                answer = yield waits_for
            except BaseException as error:
                waits_for = coroutine.throw(error)
            else:
                waits_for = coroutine.send(answer)
        except StopIteration as ended:
            return ended.value
