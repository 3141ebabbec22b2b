"""An isolated plugin that misbehaves: what becomes of its node, and that nothing else notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from engine.errors import NodeError
from engine.nodes.context import NodeContext, NodeResult
from engine.nodes.plugins.manifest import PluginSource, read_manifest
from engine.nodes.plugins.processes import PluginProcesses
from engine.nodes.ports import HttpRequest, HttpResponse, Ports
from engine.nodes.storage.local import LocalFiles
from tests.plugins.places import install_hostile, write_plugin

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Hostile:
    """Runs deeds of the hostile plugin."""

    def __init__(self, source: PluginSource, processes: PluginProcesses) -> None:
        self.source = source
        self.processes = processes

    async def __call__(self, deed: str, *, idempotent: bool = True, context: Any = None, **params: Any) -> NodeResult:
        given = context or NodeContext(deadline_s=20)
        params = {"deed": deed, **params}
        return await self.processes.run(self.source, "hostile.act", params, given, idempotent=idempotent)

    async def refused(self, deed: str, **more: Any) -> NodeError:
        with pytest.raises(NodeError) as caught:
            await self(deed, **more)
        return caught.value


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hostile(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hostile]:
    source = await install_hostile(tmp_path_factory.mktemp("plugins"))
    processes = PluginProcesses()
    yield Hostile(source, processes)
    await processes.close()


async def test_node_runs_in_a_process_that_stays_warm(hostile: Hostile) -> None:
    context = NodeContext(idempotency_key="k", attempt=2, deadline_s=20)
    first = await hostile("pid", context=context, text="ü")
    again = await hostile("pid")
    assert first.output["pid"] == again.output["pid"]
    assert first.output | {"pid": 0} == {"text": "ü", "pid": 0, "key": "k", "attempt": 2}
    assert psutil.Process().pid in [parent.pid for parent in psutil.Process(first.output["pid"]).parents()]


@pytest.mark.parametrize(
    ("deed", "ended"), [("exit", "exit code 3"), ("segfault", "signal SIGSEGV"), ("system_exit", "exit code 4")]
)
async def test_process_that_ends_fails_its_node_at_once(hostile: Hostile, deed: str, ended: str) -> None:
    error = await hostile.refused(deed)
    assert (error.code, error.retryable) == ("EXECUTION_FAILED", True)
    assert error.details["ended"] == ended
    assert (await hostile("echo", text="next")).output["text"] == "next"


async def test_loss_under_a_node_that_must_not_run_twice_leaves_its_outcome_unknown(hostile: Hostile) -> None:
    error = await hostile.refused("exit", idempotent=False)
    assert error.code == "OUTCOME_UNKNOWN"


async def test_leak_ends_at_the_memory_limit(hostile: Hostile) -> None:
    error = await hostile.refused("leak")
    assert (error.code, error.retryable) == ("RESOURCE_EXHAUSTED", False)
    assert (await hostile("echo", text="next")).output["text"] == "next"


async def test_process_that_leaks_slowly_is_replaced_before_it_fails_anybody(hostile: Hostile) -> None:
    pids = {(await hostile("leak_later", count=60)).output["pid"] for _ in range(6)}
    assert len(pids) > 1


async def test_endless_loop_is_killed_at_its_timeout(hostile: Hostile) -> None:
    await hostile("echo")
    loop = asyncio.get_running_loop()
    began = loop.time()
    error = await hostile.refused("loop", context=NodeContext(deadline_s=2))
    assert (error.code, error.retryable) == ("TIMEOUT", True)
    assert loop.time() - began < 15


async def test_cancelled_node_leaves_no_process_behind(hostile: Hostile) -> None:
    before = {child.pid for child in psutil.Process().children()}
    task = asyncio.create_task(hostile("loop"))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert {child.pid for child in psutil.Process().children()} <= before


async def test_deeds_at_the_same_time_do_not_touch_each_other(hostile: Hostile) -> None:
    short = NodeContext(deadline_s=2)
    bad = [hostile.refused("loop", context=short), hostile.refused("exit"), hostile.refused("leak")]
    good = [hostile("echo", text=str(number)) for number in range(20)]
    failed, answered = await asyncio.gather(asyncio.gather(*bad), asyncio.gather(*good))
    assert [error.code for error in failed] == ["TIMEOUT", "EXECUTION_FAILED", "RESOURCE_EXHAUSTED"]
    assert [result.output["text"] for result in answered] == [str(number) for number in range(20)]


async def test_busy_plugin_says_so(tmp_path: Path) -> None:
    source = await install_hostile(tmp_path)
    one = source.manifest.model_copy(update={"environment": source.manifest.environment.model_copy(
        update={"processes": 1})})  # fmt: skip
    busy = Hostile(PluginSource(source.path, one), PluginProcesses())
    try:
        sleeping = asyncio.create_task(busy.refused("sleep", context=NodeContext(deadline_s=4)))
        await asyncio.sleep(0)
        error = await busy.refused("echo", context=NodeContext(deadline_s=1))
        assert (error.code, error.retryable) == ("RESOURCE_EXHAUSTED", True)
        assert (await sleeping).code == "TIMEOUT"
    finally:
        await busy.processes.close()


async def test_errors_of_the_node_come_through_whole(hostile: Hostile) -> None:
    error = await hostile.refused("fail")
    assert (error.code, error.message, error.details["status"]) == ("EXTERNAL_ERROR", "refused", 503)
    assert (error.retryable, error.retry_after_s) == (True, 0.01)


async def test_unexpected_error_is_a_failure_and_not_a_crash(hostile: Hostile) -> None:
    error = await hostile.refused("error")
    assert (error.code, error.retryable) == ("EXECUTION_FAILED", False)
    assert "KeyError" in error.message


async def test_bad_parameters_are_told_by_the_model(hostile: Hostile) -> None:
    error = await hostile.refused("dance")
    assert error.code == "INVALID_CONFIG"
    assert error.details["issues"][0]["path"] == "params.deed"


async def test_output_that_is_no_json_or_too_large_is_refused(hostile: Hostile) -> None:
    assert "set is no JSON data" in (await hostile.refused("set")).message
    assert (await hostile.refused("big")).code in ("OUTPUT_TOO_LARGE", "RESOURCE_EXHAUSTED")


async def test_process_sees_only_the_variables_that_the_manifest_names(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOSTILE_ALLOWED", "yes")
    monkeypatch.setenv("STRUCTFORGE_DATABASE__URL", "postgresql://secret")
    await hostile.processes.close()
    seen = (await hostile("variables")).output
    assert "HOSTILE_ALLOWED" in seen
    assert [name for name in seen if name.startswith("STRUCTFORGE")] == []


async def test_node_logs_into_the_execution(hostile: Hostile) -> None:
    lines: list[Any] = []
    await hostile("log", context=NodeContext(deadline_s=20, log_sink=lambda *line: lines.append(line)))
    assert [(level, text, dict(fields)["when"]) for level, text, fields in lines] == [("warning", "noted", True)]


class Web:
    async def send(self, request: HttpRequest) -> HttpResponse:
        if "blocked" in request.url:
            raise NodeError("no", code="BLOCKED_ADDRESS")
        if "odd" in request.url:
            raise RuntimeError("odd")
        return HttpResponse(200, {}, request.url.encode(), request.url, 1.0)


async def test_http_goes_through_the_worker_and_its_guard(hostile: Hostile) -> None:
    context = NodeContext(deadline_s=20, ports=Ports(http=Web()))
    assert (await hostile("http", context=context, text="http://x/")).output == [200, "http://x/"]
    assert (await hostile.refused("http", context=context, text="http://blocked/")).code == "BLOCKED_ADDRESS"
    assert "RuntimeError: odd" in (await hostile.refused("http", context=context, text="http://odd/")).message
    assert "offers no http.send" in (await hostile.refused("http", text="http://x/")).message


async def test_files_are_those_of_the_execution_whatever_tenant_the_plugin_names(
    hostile: Hostile, tmp_path: Path
) -> None:
    context = NodeContext(deadline_s=20, tenant="mine", ports=Ports(files=LocalFiles(tmp_path)))
    assert (await hostile("write", context=context, text="a.bin")).output == 2
    assert (tmp_path / "mine" / "a.bin").read_bytes() == b"\x00\xff"


async def test_plugin_that_does_not_start_fails_its_nodes_with_the_reason(tmp_path: Path) -> None:
    place = write_plugin(tmp_path, "broken", code="import nothing_of_this_name", manifest="isolated = true\n")
    broken = Hostile(read_manifest(place / "plugin.toml"), PluginProcesses())
    error = await broken.refused("echo")
    assert error.code == "EXECUTION_FAILED"
    assert "nothing_of_this_name" in error.message
