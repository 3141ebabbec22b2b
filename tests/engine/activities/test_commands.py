"""Registered commands, as real processes."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from engine.activities.clients.commands import RegisteredCommands
from engine.errors import NodeError
from engine.nodes.scripting.ports import CommandOutcome
from tests.engine.nodes.running import codes, run

PRINT = "import sys; print(*sys.argv[1:], sep='|')"
FORKS = "import os, time; os.fork(); open('pids', 'a').write(f'{os.getpid()} '); time.sleep(60)"


class Registry:
    """A file of commands and what runs them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.commands = RegisteredCommands(path)

    def write(self, commands: dict[str, Any], mode: int = 0o600) -> None:
        self.path.write_text(yaml.safe_dump(commands))
        self.path.chmod(mode)

    def python(self, code: str, *argv: str, **more: Any) -> None:
        """Register `it` as a small program."""
        self.write({"it": {"argv": [sys.executable, "-c", code, *argv], **more}})

    async def run(self, deadline_s: float = 10, **arguments: str) -> CommandOutcome:
        return await self.commands.run("it", arguments, deadline_s)

    async def error(self, deadline_s: float = 10, **arguments: str) -> NodeError:
        with pytest.raises(NodeError) as caught:
            await self.run(deadline_s, **arguments)
        return caught.value


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "commands.yaml")


async def test_without_the_file_every_use_names_the_setting(registry: Registry) -> None:
    found = await registry.error()
    assert (found.code, "STRUCTFORGE_COMMANDS__FILE" in found.message) == ("INVALID_CONFIG", True)


async def test_only_registered_commands_run(registry: Registry) -> None:
    registry.write({"other": {"argv": ["/bin/true"]}})
    assert (await registry.error()).code == "ACCESS_DENIED"


async def test_file_that_others_may_read_is_refused(registry: Registry) -> None:
    registry.write({"it": {"argv": ["/bin/true"]}}, mode=0o640)
    found = await registry.error()
    assert (found.code, "chmod 600" in found.message) == ("INVALID_CONFIG", True)


async def test_file_is_read_again_when_it_changes(registry: Registry) -> None:
    registry.python("print(1)")
    assert (await registry.run()).stdout == "1\n"
    registry.python("print(234)")
    assert (await registry.run()).stdout == "234\n"
    registry.path.unlink()
    assert (await registry.error()).code == "INVALID_CONFIG"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a", "no YAML mapping|valid dictionary"),
        ("it: {argv: [convert]}", "absolute path"),
        ("it: {argv: ['/bin/{x}'], arguments: {x: {}}}", "absolute path"),
        ("it: {argv: [/bin/true, '{x}']}", "must be the same: x"),
        ("it: {argv: [/bin/true], arguments: {x: {}}}", "must be the same: x"),
        ("it: {argv: [/bin/true, '{x}'], arguments: {x: {pattern: '(?=a)'}}}", "no RE2"),
        ("it: {argv: [/bin/true], shell: true}", "Extra inputs"),
        ("it: {argv: [/bin/true], environment: {'A=B': x}}", "environment"),
        ("'../x': {argv: [/bin/true]}", "pattern"),
    ],
)
async def test_mistakes_of_the_operator_are_named(registry: Registry, text: str, words: str) -> None:
    registry.path.write_text(text)
    registry.path.chmod(0o600)
    found = await registry.error()
    assert found.code == "INVALID_CONFIG"
    assert any(word in found.message for word in words.split("|")), found.message


async def test_each_value_is_one_argument_and_nothing_else(registry: Registry) -> None:
    arguments = {"a": {}, "b": {}, "c": {}}
    registry.python(PRINT, "{a}", "--b={b}:{b}", "x{c}", arguments=arguments)
    hostile = "; rm -rf / $(id) `id` && \"' * ~ {b} %s\n| x"
    assert (await registry.run(a=hostile, b="1 2", c="-c")).stdout == f"{hostile}|--b=1 2:1 2|x-c\n"
    assert (await registry.run(a="")).stdout == "\n"


@pytest.mark.parametrize(
    ("spec", "value", "words"),
    [
        ({"required": True}, None, "is required"),
        ({}, "-rf", "dash"),
        ({}, "a\0b", "null character"),
        ({"max_length": 3}, "abcd", "longer than 3"),
        ({"choices": ["a", "b"]}, "c", "one of a, b"),
        ({"pattern": "[a-z]+"}, "abc\n", "must match"),
        ({"pattern": "[a-z]+"}, "abc1", "must match"),
        ({"pattern": "a|b"}, "ac", "must match"),
    ],
)
async def test_arguments_that_do_not_fit_are_refused_without_their_value(
    registry: Registry, spec: dict[str, Any], value: str | None, words: str
) -> None:
    registry.python(PRINT, "{x}", arguments={"x": spec})
    found = await (registry.error() if value is None else registry.error(x=value))
    assert (found.code, words in found.message) == ("INVALID_CONFIG", True)
    assert value is None or len(value) < 3 or value not in found.message


async def test_dash_and_bad_names(registry: Registry) -> None:
    registry.python(PRINT, "{x}", arguments={"x": {"leading_dash": True}})
    assert (await registry.run(x="-v")).stdout == "-v\n"
    assert "known: x" in (await registry.error(y="1")).message


async def test_patterns_do_not_backtrack(registry: Registry) -> None:
    registry.python(PRINT, "{x}", arguments={"x": {"pattern": "(a+)+$", "max_length": 50_000}})
    started = time.perf_counter()
    assert (await registry.error(x="a" * 40_000 + "b")).code == "INVALID_CONFIG"
    assert time.perf_counter() - started < 20


async def test_environment_is_clean_and_the_folder_its_own(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "canary")
    code = "import os, json; print(json.dumps([dict(os.environ), os.listdir('.'), os.listdir('/proc/self/fd')]))"
    registry.python(code, environment={"LANG": "C.UTF-8"})
    outcome = await registry.run()
    environment, files, descriptors = yaml.safe_load(outcome.stdout)
    assert {name: value for name, value in environment.items() if name != "LC_CTYPE"} == {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
    }
    assert (files, len(descriptors)) == ([], 4)  # 0, 1, 2 and the one that lists them


async def test_exit_codes_decide(registry: Registry) -> None:
    registry.python("import sys; print('out'); print('bad', file=sys.stderr); sys.exit(3)")
    found = await registry.error()
    assert found.code == "EXECUTION_FAILED"
    assert found.details == {"exit_code": 3, "stdout": "out\n", "stderr": "bad\n"}
    registry.python("import sys; sys.exit(3)", success_codes=[0, 3])
    assert (await registry.run()).exit_code == 3


async def test_program_that_is_not_there(registry: Registry) -> None:
    registry.write({"it": {"argv": ["/nowhere/program"]}})
    assert (await registry.error()).code == "EXTERNAL_ERROR"


async def test_output_is_capped_while_it_comes(registry: Registry) -> None:
    registry.python("while True: print('x' * 10_000)", max_output_bytes=100_000)
    started = time.perf_counter()
    assert (await registry.error()).code == "OUTPUT_TOO_LARGE"
    assert time.perf_counter() - started < 20


async def test_output_that_is_no_text_is_told_as_far_as_it_is(registry: Registry) -> None:
    registry.python("import os; os.write(1, b'a\\xff\\0b')")
    assert (await registry.run()).stdout == "a\ufffd\ufffdb"


def marked(mark: str) -> list[psutil.Process]:
    """Processes with `mark` in their command line that still run."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if process.info["status"] != psutil.STATUS_ZOMBIE and mark in (process.info["cmdline"] or [])
    ]


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what other processes do."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("how", ["timeout", "deadline", "cancel"])
async def test_command_is_ended_with_all_that_it_started(registry: Registry, how: str) -> None:
    mark = f"mark-{os.getpid()}-{how}"
    registry.python(FORKS, mark, timeout="1s" if how == "timeout" else "60s")
    running = asyncio.ensure_future(registry.run(1 if how == "deadline" else 60))
    await until(lambda: len(marked(mark)) == 2)
    if how == "cancel":
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    else:
        with pytest.raises(NodeError) as caught:
            await running
        assert caught.value.code == "TIMEOUT"
    await until(lambda: not marked(mark))


async def test_command_that_is_cancelled_while_it_starts_is_ended_with_all_that_it_started(registry: Registry) -> None:
    mark = f"mark-{os.getpid()}-early"
    registry.python(FORKS, mark, timeout="60s")
    for turns in range(12):
        running = asyncio.ensure_future(registry.run(60))
        for _ in range(turns):
            await asyncio.sleep(0)
        time.sleep(0.1)  # noqa: ASYNC251 - the program goes on while the loop does not turn
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, 30)
    await until(lambda: not marked(mark))


async def test_what_is_left_in_the_background_neither_holds_the_node_nor_lives_on(registry: Registry) -> None:
    mark = f"mark-{os.getpid()}-background"
    registry.python("import os, time\nif os.fork() == 0: time.sleep(60)\nprint('done')", mark)
    started = time.perf_counter()
    assert (await registry.run()).stdout == "done\n"
    assert time.perf_counter() - started < 15
    assert marked(mark) == []


async def test_daemon_does_not_hold_the_node_either(registry: Registry) -> None:
    mark = f"mark-{os.getpid()}-daemon"
    registry.python("import os, time\nif os.fork() == 0: os.setsid(); time.sleep(60)\nprint('done')", mark)
    started = time.perf_counter()
    assert (await registry.run()).stdout == "done\n"
    assert time.perf_counter() - started < 15
    for process in marked(mark):
        process.kill()


async def test_program_that_closes_its_outputs_is_waited_for(registry: Registry) -> None:
    registry.python("import os, time; os.close(1); os.close(2); time.sleep(0.3); os._exit(7)")
    assert (await registry.error()).details["exit_code"] == 7


async def test_node_gives_exit_code_and_both_outputs(registry: Registry) -> None:
    registry.python(PRINT, "{n}", "{flag}", arguments={"n": {"pattern": "[0-9]+"}, "flag": {}})
    params = {"command": "it", "args": {"n": 3, "flag": True}}
    result = await run("system_command", params, commands=registry.commands, deadline_s=10.0)
    assert result.output == {"exit_code": 0, "stdout": "3|true\n", "stderr": ""}


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ({}, "params.command"),
        ({"command": "/bin/sh"}, "params.command"),
        ({"command": "it; id"}, "params.command"),
        ({"command": "it", "args": ["a"]}, "params.args"),
        ({"command": "it", "args": {"a": ["b"]}}, "params.args.a"),
        ({"command": "it", "argv": ["a"]}, "params.argv"),
    ],
)
def test_mistakes_are_issues(params: dict[str, Any], place: str) -> None:
    assert [path for _, path in codes("system_command", params)] == [place]
