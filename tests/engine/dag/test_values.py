from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dag.values import (
    concatenation,
    element,
    inline,
    is_resident,
    listing,
    mapping,
    read,
    stored,
    wire_size,
)

STORED = stored("a" * 64, 100_000)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_user_data_that_look_like_a_value_stay_data(data: Any) -> None:
    assert read(inline(data)) == data
    assert read(inline({"r": data, "n": 1})) == {"r": data, "n": 1}


def test_an_inline_value_knows_the_size_of_its_json() -> None:
    assert inline({"a": [1, 2]})["n"] == len('{"a":[1,2]}')


def test_composites_are_read_member_by_member() -> None:
    value = mapping({"x": listing([inline(1), inline([2])]), "y": concatenation([inline([1]), listing([inline(2)])])})
    assert read(value) == {"x": [1, [2]], "y": [1, 2]}


def test_one_stored_member_makes_the_whole_not_resident() -> None:
    assert is_resident(listing([inline(1)]))
    assert not is_resident(mapping({"a": listing([inline(1), STORED])}))
    assert not is_resident(concatenation([inline([1]), STORED]))
    with pytest.raises(KeyError):
        read(listing([STORED]))


def test_an_element_is_taken_without_reading_the_list() -> None:
    assert element(inline([1, 2]), 1) == inline(2)
    assert element(listing([inline(1), STORED]), 1) is STORED
    assert element(STORED, 3) == {"e": [STORED, 3]}


@pytest.mark.parametrize("value", [inline([1]), listing([inline(1)])])
def test_an_element_past_the_end_is_an_error(value: dict[str, Any]) -> None:
    with pytest.raises(IndexError):
        element(value, 1)


def test_a_stored_value_is_small_on_the_wire_however_large_its_data() -> None:
    assert wire_size(STORED) < 200
    assert wire_size(inline("x" * 1000)) > 1000
    assert wire_size(listing([inline("x" * 1000)] * 3)) > 3000
