from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api.authentication.signing_key import KEY_FILE, checked_key, signing_key
from engine.errors import ConfigurationError
from engine.settings import Settings


@pytest.mark.parametrize(
    "text",
    ["", "short", "a" * 64, "0123456789abcdef-secret-0123456789", "changeme" * 5, "PASSWORD-0123456789-abcdefghij"],
)
def test_a_short_or_well_known_key_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        checked_key(text, "STRUCTFORGE_AUTH__TOKEN_KEY")


def test_a_given_key_that_is_weak_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="STRUCTFORGE_AUTH__TOKEN_KEY"):
        signing_key(Settings().override({"data_dir": str(tmp_path), "auth": {"token_key": "short"}}))


def test_many_processes_that_make_the_key_at_once_end_with_one(tmp_path: Path) -> None:
    settings = Settings().override({"data_dir": str(tmp_path / "data")})
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: signing_key(settings), range(16)))
    assert len(keys) == 1
    assert (tmp_path / "data" / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == [KEY_FILE]


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    settings = Settings().override({"data_dir": str(tmp_path)})
    signing_key(settings)
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        signing_key(settings)
