"""JSON for people."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from structforge.cli.folding import folded

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=30,
)


def test_what_fits_on_a_line_stands_on_one() -> None:
    assert folded({"a": [1, 2]}, 40) == '{"a": [1, 2]}'
    assert folded({"years": [{"n": 2012}, {"n": 2013}], "up": True}, 24) == (
        '{\n  "years": [\n    {"n": 2012},\n    {"n": 2013}\n  ],\n  "up": true\n}'
    )
    lines = folded({"a_long_name": [{"n": at} for at in range(3)]}, 40).splitlines()
    assert max(len(line) for line in lines) <= 40


@given(data=JSON, width=st.integers(0, 80))
def test_it_is_the_same_json_at_any_width(data: Any, width: int) -> None:
    assert json.loads(folded(data, width)) == data
