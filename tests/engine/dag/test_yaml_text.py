from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.dag.document import read_document
from engine.dag.yaml_text import write_yaml

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
ODD = st.sampled_from(
    ["on", "yes", "1e3", "0x1F", "0o7", "~", "null", "<<", "", " a", "a\n", "\na", "- a", "{{ x }}", "#"]
)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXT | ODD
TREES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT | ODD, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(TEXT | ODD, TREES, max_size=5))
@example({"a": "x\n  y\n\n", "b": "one\r\ntwo", "c": "tab\there", "d": "\x85\u2028\ufeff\x07", "e": "line \nline"})
@example({"1": 1e16, "2": 5e-324, "3": -0.0, "true": True, "<<": {"a": 1}})
def test_what_is_written_is_read_back_the_same(document: dict[str, Any]) -> None:
    read = read_document(write_yaml(document).encode(), name="x.yaml")

    assert repr(read) == repr(document), "the same keys in the same order, and 1 is not 1.0"


def test_shared_data_is_written_out_each_time() -> None:
    shared = {"a": [1]}

    assert "&" not in write_yaml({"x": shared, "y": shared})


def test_many_lines_stand_as_a_block() -> None:
    assert write_yaml({"script": "a = 1\nb = 2\n"}) == "script: |\n  a = 1\n  b = 2\n"


@pytest.mark.parametrize("path", sorted(Path("examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_survive(path: Path) -> None:
    document = read_document(path.read_bytes(), name=path.name)

    assert read_document(write_yaml(document).encode(), name="again.yaml") == document
