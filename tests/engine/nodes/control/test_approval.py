from __future__ import annotations

from typing import Any

import pytest

from engine.errors import NodeError
from tests.engine.nodes.running import codes, node_type, opened

TWO = ["ada@example.com", "ben@example.com"]


async def test_nothing_named_asks_anybody_without_an_end() -> None:
    assert await opened("approval", {}) == {
        "approvers": [],
        "quorum": 1,
        "form": None,
        "message": "",
        "timeout_s": None,
        "allow_self": False,
    }


async def test_parameters_are_given_as_plain_data() -> None:
    given = await opened("approval", {"approvers": [" ada ", "role:admin"], "timeout": "2d", "quorum": 2})
    assert (given["approvers"], given["timeout_s"], given["quorum"]) == (["ada", "role:admin"], 172_800.0, 2)


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"quorum": 0}, [("INVALID_PARAM", "params.quorum")]),
        ({"quorum": 3, "approvers": TWO}, [("INVALID_PARAM", "params.quorum")]),
        ({"quorum": 2, "approvers": ["Ada@Example.com", "ada@example.com"]}, [("INVALID_PARAM", "params.quorum")]),
        ({"quorum": 3, "approvers": [*TWO, "role:admin"]}, []),
        ({"quorum": 3, "approvers": [*TWO, "{{ input.third }}"]}, []),
        ({"quorum": "{{ input.n }}", "approvers": TWO}, []),
        ({"quorum": 3}, []),
        ({"approvers": "{{ vars.people }}"}, []),
        ({"approvers": ["role:"]}, [("INVALID_PARAM", "params.approvers[0]")]),
        ({"approvers": [""]}, [("INVALID_PARAM", "params.approvers[0]")]),
        ({"approvers": [3]}, [("INVALID_PARAM", "params.approvers[0]")]),
        ({"form": {"type": "objekt"}}, [("INPUT_SCHEMA", "params.form.type")]),
        ({"form": {"properties": {"a": {"pattern": "(?=x)"}}}}, [("INPUT_SCHEMA", "params.form.properties.a.pattern")]),
        ({"form": {"type": "{{ input.kind }}"}}, []),
        ({"form": []}, [("INVALID_PARAM", "params.form")]),
        ({"timeout": "soon"}, [("INVALID_PARAM", "params.timeout")]),
        ({"timeout": "{{ input.long }}"}, []),
        ({"allow_self": "perhaps"}, [("INVALID_PARAM", "params.allow_self")]),
        ({"aprovers": []}, [("UNKNOWN_KEY", "params.aprovers")]),
    ],
)
def test_what_can_be_known_before_it_runs_is_an_issue(params: dict[str, Any], found: list[tuple[str, str]]) -> None:
    assert codes("approval", params) == found


@pytest.mark.parametrize("form", [{"type": "objekt"}, {"properties": {"a": {"const": "x" * 70_000}}}])
async def test_a_form_that_cannot_be_shown_fails_the_node(form: dict[str, Any]) -> None:
    with pytest.raises(NodeError, match="form") as caught:
        await opened("approval", {"form": form})
    assert caught.value.code == "INVALID_CONFIG"


def test_only_people_take_the_way_behind_approved() -> None:
    kind = node_type("approval")
    assert kind.ports == ("approved", "rejected", "timeout", "error")
    assert kind.default_port_for({}) == "rejected"
