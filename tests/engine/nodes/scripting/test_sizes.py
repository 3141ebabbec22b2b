import pytest

from engine.nodes.scripting.sizes import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("64 MB", 64_000_000), ("64MiB", 67_108_864), ("1.5 kb", 1500), ("10", 10), ("10 B", 10), (" 1 GiB ", 2**30)],
)
def test_sizes_are_decimal_or_binary(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "64 XB", "-1", "1e9", "1 MB 2", "９"])
def test_other_texts_are_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="no size"):
        parse_size(text)
