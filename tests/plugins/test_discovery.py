"""Plugins that are found, and those that cannot be used: each is a problem of its own and stops nothing."""

from __future__ import annotations

import asyncio
import json
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from engine.dag.compile import compile_plan
from engine.dag.parsing import parse_spec
from engine.dag.validate import validate
from engine.errors import ConfigurationError, Issue, NodeError
from engine.expressions import AstReferenceParser
from engine.nodes.context import NodeContext
from engine.nodes.plugins import discovery
from engine.nodes.plugins.compatibility import core_version
from engine.nodes.plugins.discovery import Plugin, find_plugins
from engine.nodes.plugins.manifest import PluginFault, read_manifest
from engine.nodes.plugins.processes import PluginProcesses
from engine.nodes.plugins.refreshing import describe_changed, describe_plugin
from engine.nodes.ports import Ports
from engine.nodes.registry import Catalogue, built_in_catalogue, catalogue_of
from engine.settings import load_settings
from tests.plugins.places import NODE, install_hostile, write_plugin


def only(folder: Path) -> Plugin:
    (plugin,) = find_plugins(folder)
    return plugin


def problem(folder: Path) -> str:
    plugin = only(folder)
    assert plugin.types == []
    return plugin.problems[0].message


def catalogue(folder: Path, routes: dict[str, str] | None = None) -> Catalogue:
    return Catalogue(built_in_catalogue().types(), find_plugins(folder), routes)


def issue(found: Catalogue, type_name: str) -> Issue:
    spec = parse_spec({"name": "w", "nodes": [{"id": "a", "type": type_name}], "edges": []})
    (issue,) = validate(spec, found, AstReferenceParser())
    return issue


def test_folder_is_a_plugin_with_all_its_modules(tmp_path: Path) -> None:
    place = write_plugin(tmp_path, "acme")
    (place / "more.py").write_text("from .nodes import greet\nVALUE = 1\n")
    (place / "test_nodes.py").write_text("raise AssertionError('a test is no module of the plugin')\n")
    (place / "_private.py").write_text("raise AssertionError('nobody imports it')\n")
    plugin = only(tmp_path)
    assert plugin.problems == []
    assert [item.type for item in plugin.types] == ["acme.greet"]
    found = catalogue(tmp_path).get("acme.greet")
    assert found is not None
    assert (found.name, found.task_queue, found.kind) == ("Greet", None, "local")


def test_single_file_has_its_manifest_beside_it(tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_text('name = "acme"\nversion = "1"\n')
    (tmp_path / "acme.py").write_text(NODE.format(name="acme"))
    assert [item.type for item in only(tmp_path).types] == ["acme.greet"]


def test_plugin_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert find_plugins(tmp_path / "nothing") == []


@pytest.mark.parametrize(
    ("code", "manifest", "words"),
    [
        ("import nothing_of_this_name", "", "No module named 'nothing_of_this_name'"),
        ("import sys; sys.exit(3)", "", "SystemExit: 3"),
        ("def (", "", "SyntaxError"),
        ("VALUE = 1", "", "holds no node type"),
        (NODE.format(name="other"), "", "does not begin with acme."),
        (NODE.format(name="acme") + NODE.format(name="acme").replace("def greet", "def other"), "", "have one name"),
        (None, 'node_types = ["acme.greet", "acme.wave"]\n', "differ in node types: acme.wave"),
        (None, 'node_types = ["other.greet"]\n', "does not begin with acme."),
        (None, 'requires_structforge = ">=99"\n', f"requires structforge >=99, and this is {core_version()}"),
        (None, 'requires_structforge = "newest"\n', "no version range"),
        (None, 'colour = "red"\n', "colour"),
        (None, "isolated = true\n", "has not been described yet"),
        (None, "[environment]\nmemory_mb = 1\n", "environment.memory_mb"),
        (None, "name = ", "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_plugin_is_a_problem_and_no_error(
    tmp_path: Path, code: str | None, manifest: str, words: str
) -> None:
    write_plugin(tmp_path, "acme", code=code, manifest=manifest)
    assert words in problem(tmp_path)


def test_folder_without_a_manifest_is_told(tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()
    assert problem(tmp_path) == "there is no plugin.toml"


def test_bad_plugin_leaves_the_others_alone(tmp_path: Path) -> None:
    write_plugin(tmp_path, "bad", code="1 / 0")
    write_plugin(tmp_path, "good")
    found = catalogue(tmp_path)
    assert found.get("good.greet") is not None
    assert found.get("http") is not None
    assert [(plugin.name, len(plugin.problems)) for plugin in found.plugins] == [("bad", 1), ("good", 0)]


def test_two_plugins_of_one_name(tmp_path: Path) -> None:
    write_plugin(tmp_path / "a", "acme").rename(tmp_path / "one")
    write_plugin(tmp_path / "b", "acme").rename(tmp_path / "two")
    for name in ("a", "b"):
        (tmp_path / name).rmdir()
    first, second = find_plugins(tmp_path)
    assert (len(first.types), len(second.types)) == (1, 0)
    assert "another plugin has its name" in second.problems[0].message


# ---- documents that use what is not there


def test_type_of_a_plugin_that_is_not_installed(tmp_path: Path) -> None:
    found = issue(catalogue(tmp_path), "acme.greet")
    assert (found.code, found.path) == ("UNKNOWN_TYPE", "nodes[0].type")
    assert "belongs to the plugin acme, which is not installed" in found.message
    assert "plugin folder" in found.hint


def test_type_of_a_plugin_for_another_version(tmp_path: Path) -> None:
    write_plugin(tmp_path, "acme", manifest='requires_structforge = "<0.0.1"\n', version="2.4")
    found = issue(catalogue(tmp_path), "acme.greet")
    assert "the plugin acme 2.4 cannot be used: it requires structforge <0.0.1" in found.message
    assert "install a version" in found.hint


def test_type_that_an_installed_plugin_does_not_have(tmp_path: Path) -> None:
    write_plugin(tmp_path, "acme")
    found = issue(catalogue(tmp_path), "acme.wave")
    assert "has no such type" in found.message
    assert found.hint == "it has acme.greet"


# ---- installed distributions


def test_entry_points_are_plugins_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "acme_nodes.py").write_text(NODE.format(name="acme"))
    monkeypatch.syspath_prepend(str(tmp_path))
    entries = EntryPoints(
        EntryPoint(name, value, discovery.ENTRY_POINT_GROUP)
        for name, value in [("acme", "acme_nodes:greet"), ("lost", "nothing_of_this_name"), ("empty", "json")]
    )
    monkeypatch.setattr(discovery, "entry_points", lambda **_: entries)
    good, lost, empty = find_plugins(tmp_path / "none")
    assert [item.type for item in good.types] == ["acme.greet"]
    assert "does not load" in lost.problems[0].message
    assert "holds no node type" in empty.problems[0].message


# ---- isolated plugins


async def test_isolated_type_is_known_without_its_code(tmp_path: Path) -> None:
    source = await install_hostile(tmp_path)
    sys.modules.pop("structforge_plugin_hostile.act", None)
    found = catalogue(tmp_path).get("hostile.act")
    assert found is not None
    assert "structforge_plugin_hostile.act" not in sys.modules
    shown = found.as_dict()
    assert (found.kind, found.idempotent({}), shown["default_timeout_s"]) == ("io", True, 30)
    assert shown["params_schema"]["required"] == ["deed"]
    assert shown["documentation"].startswith("# hostile.act\n")
    assert source.description_path.exists()
    for example in found.examples:
        assert found.validate_params(example["params"], "params") == []


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"deed": "echo"}, []),
        ({"deed": "{{ input.deed }}", "count": "{{ input.n }}", "tags": ["{{ input.t }}"]}, []),
        ({}, [("MISSING_PARAM", "params.deed", "What to do")]),
        ({"deed": "dance"}, [("INVALID_PARAM", "params.deed", "What to do")]),
        ({"deed": "echo", "count": 0}, [("INVALID_PARAM", "params.count", "How often")]),
        ({"deed": "echo", "count": None}, []),
        ({"deed": "echo", "tags": "a"}, [("INVALID_PARAM", "params.tags", "Names")]),
        ({"deed": "echo", "tags": ["a", 1]}, [("INVALID_PARAM", "params.tags[1]", "")]),
        ({"deed": "echo", "tag": []}, [("UNKNOWN_KEY", "params.tag", "did you mean tags?")]),
        ({"deed": 1, "cuont": 1},
         [("UNKNOWN_KEY", "params.cuont", "did you mean count?"), ("INVALID_PARAM", "params.deed", "What to do")]),
    ],
)  # fmt: skip
async def test_parameters_of_an_isolated_type_are_checked_by_its_schema(
    hostile_catalogue: Catalogue, params: dict[str, Any], expected: list[tuple[str, str, str]]
) -> None:
    found = hostile_catalogue.get("hostile.act")
    assert found is not None
    issues = found.validate_params(params, "params")
    assert [(one.code, one.path, one.hint) for one in issues] == expected
    assert "dance" not in "".join(
        one.message for one in issues if one.code == "INVALID_PARAM" and "enum" in one.message
    )


async def test_changed_code_is_told_until_it_is_described_again(tmp_path: Path) -> None:
    source = await install_hostile(tmp_path)
    assert only(tmp_path).problems == []
    (source.folder / "more.py").write_text("VALUE = 1\n")
    plugin = only(tmp_path)
    assert [(one.message, one.is_fatal) for one in plugin.problems] == [
        ("its code is newer than its description", False)
    ]
    assert len(plugin.types) == 1
    await describe_changed(tmp_path)
    assert only(tmp_path).problems == []


async def test_damaged_description_is_a_problem(tmp_path: Path) -> None:
    source = await install_hostile(tmp_path)
    tree = json.loads(source.description_path.read_text())
    del tree["types"][0]["params_schema"]
    source.description_path.write_text(json.dumps(tree))
    assert "damaged" in problem(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('kind="local"', 'kind="durable"', "the engine itself acts on durable nodes"),
        ('kind="local"', 'kind="local", ports_for=lambda params: ("a",)', "its ports depend on its parameters"),
        ('kind="local"', 'kind="local", check=lambda raw, path: []', "checks documents with code"),
    ],
)
async def test_what_needs_the_engine_cannot_be_isolated(tmp_path: Path, old: str, new: str, words: str) -> None:
    place = write_plugin(
        tmp_path, "acme", code=NODE.format(name="acme").replace(old, new), manifest="isolated = true\n"
    )
    with pytest.raises(PluginFault, match=words):
        await describe_plugin(read_manifest(place / "plugin.toml"))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os._exit(5)", "exit code 5"),
        ("x = bytearray(2_000_000_000)", "MemoryError"),
        ("import nothing_of_this_name", "nothing_of_this_name"),
    ],
)
async def test_code_that_breaks_while_it_loads_breaks_its_own_process(tmp_path: Path, code: str, words: str) -> None:
    place = write_plugin(tmp_path, "acme", code=code, manifest="isolated = true\n")
    with pytest.raises(PluginFault, match=words):
        await describe_plugin(read_manifest(place / "plugin.toml"))


async def test_interpreter_that_is_not_there(tmp_path: Path) -> None:
    manifest = 'isolated = true\n[environment]\npython = ".venv/bin/python"\n'
    place = write_plugin(tmp_path, "acme", manifest=manifest)
    with pytest.raises(PluginFault, match="cannot be run") as caught:
        await describe_plugin(read_manifest(place / "plugin.toml"))
    assert "environment.python" in caught.value.hint


async def test_plugin_runs_in_a_virtual_environment_of_its_own(tmp_path: Path) -> None:
    code = "import sys\nassert sys.prefix.endswith('own'), sys.prefix\n" + NODE.format(name="acme")
    manifest = 'isolated = true\n[environment]\npython = "own/bin/python"\n'
    place = write_plugin(tmp_path, "acme", code=code, manifest=manifest)
    command = [sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", str(place / "own")]
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0
    packages = next((place / "own" / "lib").glob("python*/site-packages"))
    (packages / "core.pth").write_text("\n".join(path for path in sys.path if "site-packages" in path))
    assert await describe_plugin(read_manifest(place / "plugin.toml")) == ["acme.greet"]


@pytest.mark.parametrize("count", [None, 1])
async def test_secrets_never_leave_a_plugin(hostile_catalogue: Catalogue, count: int | None) -> None:
    found = hostile_catalogue.get("hostile.act")
    assert found is not None
    logged: list[str] = []
    processes = PluginProcesses()
    context = NodeContext(
        credential={"type": "basic", "username": "me", "password": "hunter2secret"},
        ports=Ports(plugins=processes), log_sink=lambda level, message, fields: logged.append(message),
    )  # fmt: skip
    try:
        seen = (await found.execute({"deed": "tell", "count": count}, context)).output
    except NodeError as error:
        seen = error.as_dict()
    finally:
        await processes.close()
    assert "[redacted]" in str(seen)
    assert "hunter2secret" not in f"{seen}{logged}"
    assert logged == ["it is [redacted]"]


# ---- task queues


def test_routes_give_types_a_queue_by_category_or_by_name(tmp_path: Path) -> None:
    write_plugin(tmp_path, "acme", manifest='task_queue = "own"\n')
    found = catalogue(tmp_path, {"integration": "fleet", "http": "web", "transform": "pure"})
    queues = {item.type: item.task_queue for item in found.types()}
    assert queues["http"] == "web"
    assert {queues[item.type] for item in found.types() if item.category == "integration"} == {"web", "fleet"}
    assert (queues["transform"], queues["filter"], queues["acme.greet"]) == ("pure", None, "own")
    assert found.route_problems == []


def test_route_of_a_plugin_by_configuration_wins(tmp_path: Path) -> None:
    write_plugin(tmp_path, "acme", manifest='task_queue = "own"\n')
    found = catalogue(tmp_path, {"acme.greet": "other"}).get("acme.greet")
    assert found is not None
    assert found.task_queue == "other"


@pytest.mark.parametrize("name", ["htpp", "control", "loop", "manual"])
def test_route_that_leads_nowhere_is_told(tmp_path: Path, name: str) -> None:
    (problem,) = catalogue(tmp_path, {name: "fleet"}).route_problems
    assert f"a route names {name}" in problem.message


def test_queue_stands_in_the_plan_of_routed_nodes_alone(tmp_path: Path) -> None:
    nodes = [{"id": "a", "type": "http", "params": {"url": "http://x"}}, {"id": "b", "type": "transform"}]
    spec = parse_spec({"name": "w", "nodes": nodes, "edges": []})
    routed = compile_plan(spec, catalogue(tmp_path, {"integration": "fleet"}), AstReferenceParser())
    assert [(node.queue, node.local) for node in routed.nodes] == [("fleet", False), (None, True)]
    plain = compile_plan(spec, built_in_catalogue(), AstReferenceParser())
    assert [node.queue for node in plain.nodes] == [None, None]


@pytest.mark.parametrize("routes", ['{"http": ""}', '{"http": "a/b"}', '["http"]'])
def test_queue_that_cannot_be_one_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch, routes: str) -> None:
    monkeypatch.setenv("STRUCTFORGE_WORKER__ROUTES", routes)
    with pytest.raises(ConfigurationError, match="STRUCTFORGE_WORKER__ROUTES"):
        load_settings()


def test_routes_and_folder_come_from_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_plugin(tmp_path, "acme")
    monkeypatch.setenv("STRUCTFORGE_PLUGINS__FOLDER", str(tmp_path))
    monkeypatch.setenv("STRUCTFORGE_WORKER__ROUTES", '{"acme.greet": "fleet"}')
    settings = load_settings()
    found = catalogue_of(settings).get("acme.greet")
    assert found is not None
    assert found.task_queue == "fleet"
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings
