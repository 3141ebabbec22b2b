"""Pages that follow from the source say what the source says."""

import re

import pytest

from engine import errors
from engine.dag.validate.codes import CODES
from engine.errors import StructForgeError
from engine.nodes.base import NodeType
from engine.nodes.registry import built_in_catalogue
from tests.docs.pages import DOCS, ROOT, blocks_of, generator

SOURCES = [path for root in ("engine", "models", "api", "structforge") for path in (ROOT / root).rglob("*.py")]
_RAISED = re.compile(r"""\bcode=["']([A-Z][A-Z_]{3,})["']""")


def test_every_page_is_what_the_source_makes_of_it() -> None:
    differing = [
        str(path.relative_to(ROOT))
        for path, text in generator().pages().items()
        if not path.exists() or path.read_text("utf-8") != text
    ]
    assert differing == [], "run: python docs/generate.py"


@pytest.mark.parametrize("kind", built_in_catalogue().types(), ids=lambda kind: kind.type)
def test_the_page_of_a_node_type_shows_the_document_that_is_run(kind: NodeType) -> None:
    page = generator().node_pages()[DOCS / "nodes" / f"{kind.type}.md"]
    assert blocks_of(page, "yaml")[-1] == (ROOT / "examples" / "nodes" / f"{kind.type}.yaml").read_text("utf-8")
    assert all(f"`{name}`" in page for name in kind.params_schema["properties"])
    assert ("## Errors" in page) is (kind.kind != "trigger")


def test_the_errors_of_a_page_are_those_of_its_type() -> None:
    found = {kind.type: generator().error_codes(kind) for kind in built_in_catalogue().types()}
    assert {"BLOCKED_ADDRESS", "OUTCOME_UNKNOWN", "RATE_LIMITED"} <= set(found["http"])
    assert {"RESOURCE_EXHAUSTED", "EXECUTION_FAILED"} <= set(found["script"])
    assert "ACCESS_DENIED" in found["system_command"]
    assert "BLOCKED_ADDRESS" not in found["filter"]
    assert all({"INVALID_CONFIG", "EXPRESSION_ERROR", "TIMEOUT"} <= set(codes) for codes in found.values())


@pytest.mark.parametrize("folder", ["nodes", "errors"])
def test_no_page_is_left_over(folder: str) -> None:
    assert set((DOCS / folder).glob("*.md")) <= set(generator().pages())


def test_every_issue_code_is_explained_and_no_other() -> None:
    assert sorted(generator().codes()["issues"]) == sorted(CODES)


def test_every_error_code_is_explained() -> None:
    constants = {value for name, value in vars(errors).items() if name.isupper() and isinstance(value, str)}
    assert constants >= {"TIMEOUT", "OUTCOME_UNKNOWN"}
    classes = {kind.code for kind in (StructForgeError, *StructForgeError.__subclasses__())}
    assert (constants | classes) - set(generator().codes()["errors"]) == set()


def test_every_code_that_is_raised_anywhere_is_explained() -> None:
    raised = {code: path.name for path in SOURCES for code in _RAISED.findall(path.read_text("utf-8"))}
    explained = {*generator().codes()["errors"], *generator().codes()["issues"]}
    assert {code: where for code, where in raised.items() if code not in explained} == {}


def test_every_setting_has_a_meaning_and_no_meaning_is_left_over() -> None:
    assert list(generator().variables()) == list(generator().meanings())
