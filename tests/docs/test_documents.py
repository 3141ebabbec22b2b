"""Documents in the pages are what the pages say of them: valid, or wrong in the one way that is explained."""

from __future__ import annotations

from typing import Any

import pytest

from engine.dag.document import parse_spec, read_document
from engine.dag.inputs import check_input
from engine.dag.validate import validate
from engine.errors import Issue, ValidationFailed
from engine.expressions.references import AstReferenceParser
from engine.nodes.registry import built_in_catalogue
from tests.docs.pages import DOCS, WRITTEN, blocks, generator

ISSUES: dict[str, dict[str, Any]] = generator().codes()["issues"]
SHOWN = {code: text for code, text in ISSUES.items() if "example" in text}
# An example of these would be larger than the page.
TOO_LARGE_TO_SHOW = {
    "DOCUMENT_TOO_LARGE",
    "DOCUMENT_TOO_DEEP",
    "INPUT_TOO_COSTLY",
    "TOO_MANY_NODES",
    "BODIES_TOO_DEEP",
    "NAME_TOO_LONG",
    "EXPRESSION_TOO_LONG",
}
# What cannot be had without another issue.
COMPANY = {"UNREACHABLE": ["CYCLE"], "EMPTY_BODY": ["INVALID_PARAM"], "WAIT_OUT_OF_REACH": ["INVALID_PARAM"]}
DOCUMENTS = [text for path in WRITTEN for text in blocks(path, "yaml")]


def issues_of(text: str, given: Any) -> list[Issue]:
    try:
        spec = parse_spec(read_document(text.encode(), name="page.json" if text.startswith("{") else "page.yaml"))
        found = validate(spec, built_in_catalogue(), AstReferenceParser())
        if given is not None:
            check_input(spec, given)
    except ValidationFailed as failure:
        return failure.issues
    return found


@pytest.mark.parametrize("code", SHOWN)
def test_the_example_of_an_issue_has_that_issue(code: str) -> None:
    found = issues_of(SHOWN[code]["example"], SHOWN[code].get("input"))
    assert code in [issue.code for issue in found]
    assert {issue.code for issue in found} <= {code, *COMPANY.get(code, ())}


@pytest.mark.parametrize("code", SHOWN)
def test_the_page_of_an_issue_says_whether_the_document_still_runs(code: str) -> None:
    found = issues_of(SHOWN[code]["example"], SHOWN[code].get("input"))
    severity = next(issue.severity for issue in found if issue.code == code)
    if code not in generator().EITHER:
        assert severity == ("warning" if code in generator().WARNINGS else "error")
    assert severity in (DOCS / "errors" / f"{code}.md").read_text("utf-8")


def test_every_issue_that_can_be_shown_is_shown() -> None:
    assert set(ISSUES) - set(SHOWN) == TOO_LARGE_TO_SHOW


def test_the_pages_have_workflows() -> None:
    assert len(DOCUMENTS) >= 3


@pytest.mark.parametrize("text", DOCUMENTS)
def test_every_workflow_in_the_pages_is_valid(text: str) -> None:
    assert issues_of(text, {}) == []
