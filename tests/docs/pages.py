"""The documents as tests read them: their text, their code blocks, and the script that makes some of them."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
DECISIONS = sorted((DOCS / "decisions").glob("[0-9]*.md"))
WRITTEN = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *(DOCS / name for name in ("README.md", "architecture.md", "documents.md", "expressions.md", "plugins.md")),
    *(DOCS / name for name in ("ai.md", "scripts.md", "api.md")),
    *DECISIONS,
]
_BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return blocks_of(path.read_text("utf-8"), language)


def blocks_of(text: str, language: str) -> list[str]:
    """The same for the text of a page."""
    return [match[2] for match in _BLOCK.finditer(text) if match[1] == language]


@cache
def generator() -> ModuleType:
    """docs/generate.py, which is a script and no part of any package."""
    spec = importlib.util.spec_from_file_location("structforge_docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
