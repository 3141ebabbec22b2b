"""The table of expressions gives the results that it shows."""

from __future__ import annotations

import json
import re

import pytest

from engine.expressions import Evaluator, compile_template, render
from tests.docs.pages import DOCS, blocks

PAGE = DOCS / "expressions.md"
SCOPE = json.loads(blocks(PAGE, "json")[0])
_ROW = re.compile(r"^\| `(.*\{\{.*\}\}.*)` \| `(.*)` \|$", re.MULTILINE)
ROWS = _ROW.findall(PAGE.read_text("utf-8"))


def test_the_page_has_its_table() -> None:
    assert len(ROWS) == 12


@pytest.mark.parametrize(("written", "result"), ROWS, ids=[written for written, _ in ROWS])
async def test_an_expression_gives_what_the_page_shows(written: str, result: str) -> None:
    async with Evaluator(processes=1) as evaluator:
        assert await render(compile_template(written), SCOPE, evaluator) == json.loads(result)
