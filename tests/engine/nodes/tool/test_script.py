from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from engine.errors import NodeError
from engine.expressions.script_pool import ScriptPool
from engine.nodes.scripting.ports import Runtime, ScriptRequest, ScriptResult
from engine.nodes.scripting.runtimes import MontyScripts, Scripts
from engine.settings.nodes import ScriptSettings
from tests.engine.nodes.running import codes, node_type, run


@pytest_asyncio.fixture
async def scripts() -> AsyncIterator[Scripts]:
    async with ScriptPool(processes=1) as pool:
        yield Scripts(ScriptSettings(max_timeout_s=10, max_memory_bytes=10**8), MontyScripts(pool))


async def output(scripts: Scripts, code: str, upstream: Any = None, **params: Any) -> Any:
    return (await run("script", {"script_code": code, **params}, scripts=scripts, upstream=upstream)).output


async def error(scripts: Scripts, code: str, **params: Any) -> NodeError:
    with pytest.raises(NodeError) as caught:
        await output(scripts, code, **params)
    return caught.value


async def test_result_and_logs(scripts: Scripts) -> None:
    assert await output(scripts, "print('a')\nprint('b')\ninput['n'] * 2", input={"n": 4}) == {
        "result": 8,
        "logs": ["a", "b"],
    }
    assert await output(scripts, "result = {'a': [1, None]}") == {"result": {"a": [1, None]}, "logs": []}


async def test_input_is_the_upstream_output_unless_it_is_given(scripts: Scripts) -> None:
    assert (await output(scripts, "input", upstream=[1]))["result"] == [1]
    assert (await output(scripts, "input", upstream=[1], input=None))["result"] is None


async def test_data_is_never_code(scripts: Scripts) -> None:
    hostile = "{{ 1 }}'); __import__('os').system('id'); ('"
    assert (await output(scripts, "input", input=hostile))["result"] == hostile


async def test_failure_keeps_its_line_and_the_last_lines_printed(scripts: Scripts) -> None:
    found = await error(scripts, "for n in range(60):\n    print(n)\n1 / 0")
    assert (found.code, found.details["line"]) == ("EXECUTION_FAILED", 3)
    assert found.details["logs"] == [str(number) for number in range(10, 60)]
    assert "printed" not in found.details


async def test_limits_are_the_nodes_own(scripts: Scripts) -> None:
    assert (await error(scripts, "while True: pass", timeout="200ms")).code == "TIMEOUT"
    assert (await error(scripts, "'x' * 3_000_000", memory="2 MB")).code == "RESOURCE_EXHAUSTED"
    assert len((await output(scripts, "'x' * 3_000_000", memory="32 MB"))["result"]) == 3_000_000


@pytest.mark.parametrize(("params", "setting"), [({"timeout": "11s"}, "TIMEOUT"), ({"memory": "101 MB"}, "MEMORY")])
async def test_operators_bounds_win(scripts: Scripts, params: dict[str, Any], setting: str) -> None:
    found = await error(scripts, "1", **params)
    assert (found.code, f"SCRIPTS__MAX_{setting}" in found.message) == ("INVALID_CONFIG", True)


async def test_cpython_that_is_not_allowed_is_refused_by_name_of_the_setting(scripts: Scripts) -> None:
    params: Any = {"script_code": "1", "runtime": "cpython"}
    (issue,) = node_type("script").validate_params(params, "nodes[0].params")
    assert (issue.severity, issue.path) == ("warning", "nodes[0].params.runtime")
    kind = node_type("script")
    with pytest.raises(NodeError) as caught:
        await scripts.run("cpython", ScriptRequest(code="1", input=None, timeout_s=1, memory_bytes=10**6))
    assert (caught.value.code, "STRUCTFORGE_SCRIPTS__CPYTHON" in caught.value.message) == ("INVALID_CONFIG", True)
    assert kind.parse_params(params).runtime == "cpython"


async def test_cpython_that_is_allowed_runs_and_is_no_issue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRUCTFORGE_SCRIPTS__CPYTHON", "true")
    seen: list[ScriptRequest] = []

    class Recording:
        async def run(self, request: ScriptRequest) -> ScriptResult:
            seen.append(request)
            return ScriptResult(1, "x\n")

    unused: Any = None
    scripts = Scripts(ScriptSettings(), unused, Recording())
    found = await output(scripts, "del x", input=3, runtime="cpython", timeout="2s", memory="10 MB")
    assert found == {"result": 1, "logs": ["x"]}
    assert [(one.code, one.input, one.timeout_s, one.memory_bytes) for one in seen] == [("del x", 3, 2, 10**7)]


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ({}, "params.script_code"),
        ({"script_code": ""}, "params.script_code"),
        ({"script_code": "x = ("}, "params.script_code"),
        ({"script_code": "x = '{{ input.name }}'"}, "params.script_code"),
        ({"script_code": "yield 1"}, "params.script_code"),
        ({"script_code": "import requests"}, "params.script_code"),
        ({"script_code": "1", "script_type": "javascript"}, "params.script_type"),
        ({"script_code": "1", "runtime": "node"}, "params.runtime"),
        ({"script_code": "1", "timeout": "fast"}, "params.timeout"),
        ({"script_code": "1", "timeout": "1ms"}, "params.timeout"),
        ({"script_code": "1", "memory": "much"}, "params.memory"),
        ({"script_code": "1", "memory": 10}, "params.memory"),
        ({"script_code": "1", "inputs": 1}, "params.inputs"),
    ],
)
def test_mistakes_are_issues(params: dict[str, Any], place: str) -> None:
    assert {path for _, path in codes("script", params)} == {place}


def test_issues_say_the_line() -> None:
    code = "a = 1\nb = f'{{a}}'"
    (issue,) = node_type("script").validate_params({"script_code": code}, "p")
    assert issue.message == "line 2: a script holds no {{ }}"
    (issue,) = node_type("script").validate_params({"script_code": "a = 1\nb = ="}, "p")
    assert issue.message.startswith("line 2: ")


@pytest.mark.parametrize("runtime", ["monty", "{{ input.runtime }}"])
def test_templates_elsewhere_are_no_issues(runtime: Runtime) -> None:
    params = {"script_code": "input", "input": "{{ input }}", "timeout": "{{ vars.t }}", "runtime": runtime}
    assert codes("script", params) == []
