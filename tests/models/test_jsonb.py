from typing import Any

import pytest

from models.jsonb import plain_text
from models.session import Database

AWKWARD: list[Any] = [
    None,
    {"v": "nul \x00 inside", "n": 3},
    {"key \x00": [1, 2.5, "é", "\U0001f600"]},
    {"$base64": "looks wrapped"},
    {"$base64": "e30=", "more": "\x00"},
    9223372036854775807,
    "\\u0000 as six characters",
]


@pytest.mark.parametrize("value", AWKWARD)
async def test_any_json_data_come_back_unchanged(database: Database, value: Any) -> None:
    async with database.transaction() as transaction:
        assert await transaction.fetchval("SELECT $1::jsonb", {"x": value} if value is None else value) == (
            {"x": value} if value is None else value
        )


async def test_lone_surrogate_becomes_the_replacement_character(database: Database) -> None:
    async with database.transaction() as transaction:
        assert await transaction.fetchval("SELECT $1::jsonb", {"a": ["\ud800x"]}) == {"a": ["?x"]}


def test_plain_text_is_what_a_text_column_holds() -> None:
    assert plain_text(None) is None
    assert plain_text("fine") == "fine"
    assert plain_text("a\x00b") == "a\ufffdb"
    assert plain_text("\ud800") == "?"
