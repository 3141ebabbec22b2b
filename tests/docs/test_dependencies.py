"""What the README says of dependencies is so."""

import re

from tests.docs.pages import ROOT

LOCKED = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE))


def test_neither_predecessor_is_locked() -> None:
    assert "httpx2" in LOCKED
    assert LOCKED & {"httpx", "google-generativeai"} == set()
