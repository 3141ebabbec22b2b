"""Pages speak of the product alone, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, WRITTEN

PAGES = [*WRITTEN, *sorted(DOCS.rglob("*.yaml")), *sorted((DOCS / "nodes").glob("*.md"))]
PAGES += sorted((DOCS / "errors").glob("*.md"))
# Also what an installation reads: an address in there would bind it to one machine's index.
INSTALLED = [ROOT / name for name in ("pyproject.toml", "requirements.lock", "Makefile", "docker/Dockerfile")]
_INDEX = re.compile(r"pypi\.|pythonhosted|/simple/|--(?:extra-)?index-url|find-links", re.IGNORECASE)
_MACHINE = re.compile(r"(?<![\w.:/])/(?:root|home|work|Users|tmp|mnt|opt|var)/")
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [*PAGES, *INSTALLED], ids=shown)
def test_no_package_index_is_named(path: Path) -> None:
    text = path.read_text("utf-8")
    if path.name == "Makefile":  # it tells the lock's compiler to leave these very things out
        text = re.sub(r"--no-emit-[a-z-]+", "", text)
    assert _INDEX.findall(text) == []


@pytest.mark.parametrize("path", PAGES, ids=shown)
def test_no_path_of_a_machine_is_named(path: Path) -> None:
    assert _MACHINE.findall(path.read_text("utf-8")) == []


def test_paths_and_indexes_are_recognised() -> None:
    assert _MACHINE.search("see /ho" + "me/ada/x")
    assert not _MACHINE.search("https://shop.example/home/x and `docs/var/x`")
    assert _INDEX.search("https://py" + "pi.org")


@pytest.mark.parametrize("path", [path for path in PAGES if path.suffix == ".md"], ids=shown)
def test_every_link_leads_somewhere(path: Path) -> None:
    links = [link for link in _LINK.findall(path.read_text("utf-8")) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []
