from __future__ import annotations

from pathlib import Path

import pytest

from structforge.plugin import NodeError
from structforge.plugin_testing import load_plugin

plugin = load_plugin(Path(__file__).parent)


def test_examples_are_valid() -> None:
    plugin.check_examples()


def test_good_numbers_are_told_from_bad_ones() -> None:
    result = plugin.run("barcode.check", {"codes": ["4006381333931", "4 006381 333932", "96385074", "x"]})
    assert result.output == {"valid": ["4006381333931", "96385074"], "invalid": ["4 006381 333932", "x"]}


def test_check_digit_is_added() -> None:
    # From the right: 3*3 + 9*1 + 3*3 + 3*1 + 3*3 + 1*1 + 8*3 + 3*1 + 6*3 + 0*1 + 0*3 + 4*1 = 89, and 89 + 1 = 90.
    assert plugin.run("barcode.complete", {"digits": "400638133393"}).output == {"code": "4006381333931"}


def test_number_of_no_known_length_is_refused() -> None:
    with pytest.raises(NodeError) as caught:
        plugin.run("barcode.complete", {"digits": "123"})
    assert caught.value.code == "INVALID_CONFIG"


def test_codes_must_be_a_list() -> None:
    (issue,) = plugin.issues("barcode.check", {"codes": "4006381333931"})
    assert (issue.code, issue.path) == ("INVALID_PARAM", "params.codes")
