"""What the example of each node type needs around it, what it is started with, and what must come out.

`needs` names a counterpart of `tests/examples/counterparts.py`; `given` makes the input out of its addresses, and
`expected` is the execution's output.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.ai_server import Answer, text
from tests.engine.workflows.asking import say, waits
from tests.engine.workflows.lab import Started
from tests.examples.counterparts import Counterparts

Addresses = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Case:
    """One way to run an example.

    `states` are node states that must be so, `applied` examples of workflows that must be there, `answers` what the AI
    model says in turn (all of them are asked for, and no more), `meanwhile` what people do while it runs, `after`
    what the counterparts must have seen.
    """

    expected: Any = None
    given: Any = None
    states: Mapping[str, str] = field(default_factory=dict[str, str])
    needs: str | None = None
    applied: tuple[str, ...] = ()
    model: str = "writer"
    answers: tuple[Answer, ...] = ()
    meanwhile: Callable[[Started], Awaitable[None]] | None = None
    after: Callable[[Counterparts], None] | None = None

    def input_for(self, addresses: Addresses) -> Any:
        return self.given(addresses) if callable(self.given) else self.given


async def approve(started: Started) -> None:
    await waits(started)
    assert await say(started, "ada@shop.example", "approved", "pay")


async def reject(started: Started) -> None:
    await waits(started)
    assert await say(started, "ben@shop.example", "rejected", "pay")


def mailed(parts: Counterparts) -> None:
    mail = parts.mails[-1]
    assert (mail["from"], mail["to"], mail["subject"]) == (
        "robot@shop.example", "finance@shop.example", "Orders of today",
    )  # fmt: skip
    assert mail["message-id"]
    kinds = [part.get_content_type() for part in mail.walk() if not part.is_multipart()]
    assert kinds == ["text/plain", "text/html", "text/csv"]


DAY = "2026-03-02T07:00:00+00:00"
ORDER = {"order": {"number": 7, "total": 120.5, "items": ["pen", "ink"], "currency": "EUR"}}

LARGE = {"rows": [{"id": 2, "city": "O'Higgins; --", "total": 150}], "count": 1}
RECEIVED = {"bodies": [{"id": 7, "total": 120}], "kind": "order", "same": True}

CASES: dict[str, list[Case]] = {
    # ---- triggers
    "manual": [Case("Hello Ada", {"name": "Ada"})],
    "webhook": [
        Case(
            {"receipt": {"order": 7, "accepted": True}, "path": "orders/new"},
            {"body": {"id": 7, "total": 120}},
        )
    ],
    "timer": [Case("daily report of 2026-03-02", {"scheduled_at": DAY, "fired_at": DAY})],
    "event": [Case({"note": "order 7 is large", "type": "order.created"}, {"data": {"id": 7, "total": 120}})],
    # ---- data
    "transform": [Case(ORDER)],
    "filter": [
        Case({"items": [{"id": 2, "total": 150}, {"id": 3, "total": 100}], "dropped": 1}),
        Case({"items": [{"id": 2, "total": 150}], "dropped": 2}, {"least": 101}),
    ],
    "aggregate": [
        Case(
            [  # Oslo: 40 + 10 = 50
                {"city": "Oslo", "orders": 2, "total": 50, "largest": 40},
                {"city": "Bergen", "orders": 1, "total": 150, "largest": 150},
            ]
        )
    ],
    "map": [  # 40 * 1.25 = 50, 150 * 1.25 = 187.5
        Case([{"line": 1, "text": "order 1", "gross": 50.0}, {"line": 2, "text": "order 2", "gross": 187.5}])
    ],
    "sort": [Case([3, 1, 2])],
    # ---- control
    "condition": [
        Case({"check": "check the address"}, states={"call": "pruned", "check": "success", "ship": "pruned"}),
        Case({"ship": "ship it"}, {"total": 99.5}, {"call": "pruned", "check": "pruned", "ship": "success"}),
        Case({"call": "call the customer"}, {"total": 1000}, {"call": "success", "check": "pruned", "ship": "pruned"}),
    ],
    "switch": [
        Case({"post": "letter post"}, states={"post": "success", "truck": "pruned", "ship": "pruned"}),
        Case({"ship": "ship"}, {"country": "JP"}, {"post": "pruned", "truck": "pruned", "ship": "success"}),
    ],
    "delay": [Case({"after": "waited until then", "waited": True})],
    "parallel": [Case({"price": 125.0, "stock": {"available": True}})],
    "loop": [
        Case(
            {
                "items": [
                    {"of": 3, "at": 0, "square": 9},
                    {"of": 1, "at": 1, "square": 1},
                    {"of": 2, "at": 2, "square": 4},
                ],
                "iterations": 3,
                "broken": False,
            }
        )
    ],
    "approval": [
        Case(
            {"paid": "paid, for ada@shop.example said so"},
            states={"paid": "success", "kept": "pruned"},
            meanwhile=approve,
        ),
        Case({"kept": "not paid: ok"}, states={"paid": "pruned", "kept": "success"}, meanwhile=reject),
    ],
    "workflow": [Case({"order": 7}, applied=("transform",))],
    # ---- integration
    "http": [
        Case(
            {"found": {"orders": [{"id": 7, "total": 120}]}},
            lambda at: {"service": at["shop"]},
            {"missed": "pruned"},
            needs="http",
        ),
        Case(
            {"missed": "no answer: EXTERNAL_ERROR"},
            lambda at: {"service": at["closed"]},
            {"fetch": "failed", "found": "pruned"},
            needs="http",
        ),
    ],
    "webhook_send": [Case({"status": 204}, lambda at: {"receiver": at["receiver"]}, needs="http")],
    "database": [Case(LARGE, needs=name) for name in ("postgresql", "mariadb", "sqlite")],
    "message_queue": [Case(RECEIVED, needs=name) for name in ("rabbitmq", "nats", "valkey")],
    "email": [Case({"accepted": ["finance@shop.example"], "refused": []}, needs="smtp", after=mailed)],
    # ---- AI
    "text_generation": [  # two answers of another form: three calls, and the next node sees the third alone
        Case(
            "delivery: 4",
            needs=name,
            answers=(text("not JSON"), text('{"urgency": 9}'), text('{"urgency": 4, "topic": "delivery"}')),
        )
        for name in ("openai", "gemini", "ollama")
    ],
    "chat": [
        Case({"text": "Oslo", "role": "assistant"}, needs=name, answers=(text("Oslo"),))
        for name in ("openai", "gemini", "ollama")
    ],
    "image_generation": [
        Case({"pictures": 1, "written": True}, needs=name, model="painter", answers=(Answer(),))
        for name in ("openai", "gemini")
    ],
    "embedding": [
        Case({"vectors": 2, "same_length": True}, needs=name, model="embedder", answers=(Answer(),))
        for name in ("openai", "gemini", "ollama")
    ],
    # ---- tools
    "file_operation": [Case({"bytes": 20, "rows": [{"id": 1, "total": 40.0}, {"id": 2, "total": 150.0}]})],
    "script": [Case({"result": {"Oslo": 50, "Bergen": 150}, "logs": ["2 cities"]})],  # 40 + 10 = 50
    "system_command": [
        Case({"said": "Hello Ada; $(id)\n", "code": 0}),
        Case({"said": "Hello Ben\n", "code": 0}, {"name": "Ben"}),
    ],
}
