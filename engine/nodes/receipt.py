"""What a node still owes the outside once its outcome is on record."""

from __future__ import annotations

from typing import Protocol


class Receipt(Protocol):
    """Something taken from outside that its owner keeps until it hears that it is safe here.

    The engine calls `acknowledge` after the outcome is durable, and `release` in any other end of the attempt; if the
    worker dies between, neither is called, and the owner hands the same thing out again. So what is received is
    received at least once, and is lost by no crash.
    """

    async def acknowledge(self) -> None:
        """Let the owner forget it. Raises: NodeError if that fails; then it comes again."""
        ...

    async def release(self) -> None:
        """Give it back, unless it is acknowledged; never raises."""
        ...
