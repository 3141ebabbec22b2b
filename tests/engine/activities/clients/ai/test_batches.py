from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.activities.clients.ai.batches import batches, vector_of


@given(st.lists(st.text(max_size=8)), st.integers(1, 5), st.integers(1, 20))
def test_batches_keep_order_and_both_limits(texts: list[str], most_texts: int, most_chars: int) -> None:
    made = list(batches(texts, most_texts, most_chars))
    assert [text for batch in made for text in batch] == texts
    assert all(0 < len(batch) <= most_texts for batch in made)
    assert all(len(batch) == 1 or sum(map(len, batch)) <= most_chars for batch in made)


@pytest.mark.parametrize("value", [None, [], ["1"], {"0": 1}, "vector"])
def test_what_is_no_vector_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="no list of numbers"):
        vector_of(value)
