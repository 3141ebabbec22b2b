"""Partial text on its way out: few pieces, none lost but for what is too long to show."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from engine.activities.clients.redis_live import Partial
from engine.activities.partials import EVERY_S, LONGEST_PIECE, PartialText
from models.tenancy import mint_tenant


def opened() -> tuple[PartialText, list[Partial]]:
    seen: list[Partial] = []
    first = Partial(mint_tenant(uuid4()), uuid4(), "ask", (1,), 2, 3, 0, "")
    return PartialText(seen.append, first), seen


async def test_first_piece_goes_at_once_and_the_rest_together() -> None:
    take, seen = opened()
    for piece in ("a", "b", "c", "", "d"):
        take(piece)
    assert [(part.offset, part.text) for part in seen] == [(0, "a")]
    async with asyncio.timeout(20):
        while len(seen) < 2:  # noqa: ASYNC110
            await asyncio.sleep(EVERY_S / 10)
    await asyncio.sleep(EVERY_S * 1.5)
    assert [(part.offset, part.text) for part in seen] == [(0, "a"), (1, "bcd")]
    take("e")
    assert [(part.offset, part.text) for part in seen][2:] == [(4, "e")]
    assert {(part.node_path, part.iteration, part.generation, part.attempt) for part in seen} == {("ask", (1,), 2, 3)}


async def test_of_a_piece_that_is_too_long_the_end_is_shown_at_its_place() -> None:
    take, seen = opened()
    take("x" * LONGEST_PIECE + "end")
    [part] = seen
    assert (part.offset, len(part.text), part.text[-3:]) == (3, LONGEST_PIECE, "end")


async def test_a_thousand_pieces_make_no_more_than_ten_events_a_second() -> None:
    take, seen = opened()
    began = asyncio.get_running_loop().time()
    for number in range(1000):
        take(f"{number} ")
        if number % 100 == 0:
            await asyncio.sleep(0.03)
    await asyncio.sleep(EVERY_S * 1.5)
    took_s = asyncio.get_running_loop().time() - began
    assert len(seen) <= took_s / EVERY_S + 1
    assert "".join(part.text for part in seen) == "".join(f"{number} " for number in range(1000))
