"""What Temporal keeps cannot be read there: a canary, rotated keys, mixed histories, and another tenant's payload."""

from __future__ import annotations

import base64
import contextlib
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

import worker
from engine.activities.clients.codec import ENCODING, PayloadUnreadable
from engine.errors import ConfigurationError
from engine.settings import Settings
from models.keyring import Keys, add_active_key, ensure_key_file
from tests.engine.workflows.effects import Effects
from tests.engine.workflows.lab import Lab, Stack, foreach, graph, open_stack, pure

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def sealing(engine_servers: Settings, tmp_path: Path) -> Settings:
    """Settings with a key ring of one test's own, sealing, and a task queue that nobody else serves."""
    path = tmp_path / "keys.json"
    ensure_key_file(path)
    changes: dict[str, Any] = {
        "codec": {"encrypt": True},
        "encryption": {"key_file": path},
        "worker": {"task_queue": f"sealed-{uuid4().hex[:8]}", "evaluator_processes": 1},
    }
    return engine_servers.override(changes)


@contextlib.asynccontextmanager
async def opened(settings: Settings, effects: Effects) -> AsyncGenerator[Lab]:
    async with open_stack(settings, effects) as stack:
        yield await Lab.open(stack)


@pytest_asyncio.fixture(loop_scope="session")
async def sealed_lab(sealing: Settings, effects: Effects) -> AsyncIterator[Lab]:
    async with opened(sealing, effects) as lab:
        yield lab


def payloads(tree: Any) -> Iterator[dict[str, Any]]:
    """Every payload of a history that was parsed from JSON."""
    if isinstance(tree, dict):
        if "metadata" in tree and isinstance(tree["metadata"], dict) and "encoding" in tree["metadata"]:
            yield tree
        for member in tree.values():
            yield from payloads(member)
    elif isinstance(tree, list):
        for member in tree:
            yield from payloads(member)


def count_of(history: WorkflowHistory) -> Counter[str]:
    """How many payloads of a history are sealed by which key; those that are not stand under their encoding."""
    names: Counter[str] = Counter()
    for payload in payloads(json.loads(history.to_json())):
        metadata = {name: base64.b64decode(value).decode() for name, value in payload["metadata"].items()}
        names[metadata["key-id"] if metadata["encoding"] == ENCODING.decode() else metadata["encoding"]] += 1
    return names


async def replay(stack: Stack, history: WorkflowHistory) -> None:
    converter = stack.runtime.temporal.data_converter
    runner = UnsandboxedWorkflowRunner()
    await Replayer(workflows=worker.WORKFLOWS, workflow_runner=runner, data_converter=converter).replay_workflow(
        history
    )


def forms_of(text: str) -> list[bytes]:
    """The text itself, and base64 and hexadecimal of it wherever it may begin."""
    raw = text.encode()
    shifted = [base64.b64encode(b"x" * pad + raw + b"x" * (-(len(raw) + pad) % 3)) for pad in range(3)]
    return [raw, raw.hex().encode(), *(form[4:-4] for form in shifted)]


def is_in_database(settings: Settings, text: str) -> bool:
    """Whether a file of the embedded Temporal's database holds the text."""
    forms = forms_of(text)
    files = [*(settings.data_dir / "temporal").glob("temporal.db*")]
    assert files
    return any(form in path.read_bytes() for path in files for form in forms)


# ---- the canary


def sent(lab: Lab, kind: str, value: str, **more: Any) -> dict[str, Any]:
    """An http node that tells the effect server a value; one of the kind `bad` is answered with an error."""
    return {
        "id": "sent",
        "type": "http",
        "params": {"url": lab.effects.url(f"/{kind}/{lab.name('x')}-") + value},
        **more,
    }


async def everything(lab: Lab, secret: str) -> None:
    """Executions that carry a secret wherever Temporal carries anything."""
    data = {"secret": secret}
    called = sent(lab, "do", "{{ input.secret }}", id="called")
    passed = {**pure("kept", "{{ input.secret }}"), "assign": {"seen": "{{ input.secret }}"}}
    await lab.run(graph(passed, called, pure("last", "{{ vars.seen }}"), outputs={"s": "{{ input.secret }}"}), data)
    # A failure that tells the secret, which ends the execution and its Temporal workflow.
    ended = await lab.run(graph(sent(lab, "bad", "{{ input.secret }}")), data)
    assert secret in str(ended.error), "what is not told cannot leak"
    loop = foreach("each", ["{{ input.secret }}"], graph(sent(lab, "do", "{{ item }}")))
    await lab.run(graph(loop), data)
    held = await lab.start(graph(lab.hold("held"), pure("never", "{{ input.secret }}")), data)
    await lab.seen("held")
    await held.command("skip", "held", output=secret)
    await held.end()


async def test_a_secret_is_nowhere_in_temporals_database(sealed_lab: Lab, lab: Lab, sealing: Settings) -> None:
    secret, marker = (f"canary-{uuid4().hex}" for _ in range(2))
    await everything(sealed_lab, secret)
    await lab.run(graph(pure("kept", "{{ input.secret }}")), {"secret": marker})
    assert is_in_database(sealing, marker), "the search finds what is there"
    assert not is_in_database(sealing, secret)


async def test_failures_are_sealed_and_say_everything_to_us(sealed_lab: Lab) -> None:
    secret = f"told-{uuid4().hex}"
    ended = await sealed_lab.run(graph(sent(sealed_lab, "bad", "{{ input.secret }}")), {"secret": secret})
    assert secret in str(ended.error)
    assert secret not in ended.history.to_json()
    assert "Encoded failure" in ended.history.to_json()


async def test_names_stay_readable_in_the_web_ui(sealed_lab: Lab) -> None:
    ended = await sealed_lab.run(graph({**sealed_lab.call("fetch"), "name": "Fetch the orders"}))
    texts = [base64.b64decode(payload["data"]) for payload in payloads(json.loads(ended.history.to_json()))]
    assert b'"Fetch the orders"' in texts


# ---- keys that change


async def test_executions_go_on_over_a_rotation_and_old_histories_replay(sealing: Settings, effects: Effects) -> None:
    async with opened(sealing, effects) as lab:
        before = await lab.start(graph(lab.hold("before"), pure("after", "{{ nodes.before.output }}")))
        await lab.seen("before")
        old = await before.handle.fetch_history()
        keys = Keys(sealing)
        new = add_active_key(keys.path, keys.ring()).active
        await lab.eventually(lambda: seals_with(lab, new))
        between = await lab.start(graph(lab.hold("between"), pure("after", 1)))
        await lab.seen("between")
        lab.release("before")
        lab.release("between")
        ended, other = await before.end(), await between.end()
    assert (ended.row.status, other.row.status) == ("success", "success")
    assert set(count_of(old)) >= {"first"}
    assert new not in count_of(old)
    assert {"first", new} <= set(count_of(ended.history))
    assert "first" not in count_of(other.history)
    async with opened(sealing, effects) as lab:
        for history in (old, ended.history, other.history):
            await replay(lab.stack, history)


async def seals_with(lab: Lab, name: str) -> bool:
    (payload,) = await lab.stack.runtime.temporal.data_converter.encode([{"n": 1}])
    return payload.metadata["key-id"] == name.encode()


async def test_an_execution_that_began_unsealed_ends_sealed_and_replays(sealing: Settings, effects: Effects) -> None:
    async with opened(sealing.override({"codec": {"encrypt": False}}), effects) as lab:
        begun = await lab.start(
            graph(lab.hold("held"), pure("last", "{{ input.n }}"), outputs={"n": "{{ input.n }}"}), {"n": 7}
        )
        await lab.seen("held")
    async with opened(sealing, effects) as later:
        lab.stack = later.stack
        begun.handle = later.stack.runtime.temporal.get_workflow_handle(begun.handle.id)
        await lab.seen("held", 2)  # the first worker handed it back
        lab.release("held")
        ended = await begun.end()
        kinds = count_of(ended.history)
        assert kinds["json/plain"] > 0
        assert kinds["first"] > 0
        await replay(later.stack, ended.history)
    assert ended.row.status == "success"


async def test_a_worker_that_does_not_seal_goes_on_with_sealed_executions(sealing: Settings, effects: Effects) -> None:
    async with opened(sealing, effects) as lab:
        ended = await lab.run(graph(lab.call("a"), pure("b", 1)))
    async with opened(sealing.override({"codec": {"encrypt": False}}), effects) as later:
        await replay(later.stack, ended.history)


# ---- what is refused


async def test_without_the_key_a_history_does_not_replay(sealing: Settings, effects: Effects, tmp_path: Path) -> None:
    async with opened(sealing, effects) as lab:
        ended = await lab.run(graph(pure("a", 1)))
    ensure_key_file(tmp_path / "others.json")
    others = sealing.override({"encryption": {"key_file": tmp_path / "others.json"}})
    async with opened(others, effects) as stranger:
        with pytest.raises(Exception, match="PayloadUnreadable"):
            await replay(stranger.stack, ended.history)


async def test_a_payload_of_another_tenant_is_refused_inside_an_execution(sealed_lab: Lab) -> None:
    converter = sealed_lab.stack.runtime.temporal.data_converter
    other = await Lab.open(sealed_lab.stack)
    theirs = await other.run(graph(pure("a", "{{ input.n }}")), {"n": 1})
    ours = await sealed_lab.run(graph(pure("a", 1)))
    started = theirs.history.events[0].workflow_execution_started_event_attributes.input
    context = sealed_lab.stack.runtime.temporal.get_workflow_handle(ours.history.workflow_id)
    with pytest.raises(PayloadUnreadable, match="another tenant"):
        await context._data_converter.decode(list(started.payloads))  # pyright: ignore[reportPrivateUsage]
    assert converter.payload_codec is None, "payloads are not visited by the SDK"


async def test_sealing_without_keys_is_refused_at_the_start(engine_servers: Settings, tmp_path: Path) -> None:
    settings = engine_servers.override({"codec": {"encrypt": True}, "encryption": {"key_file": tmp_path / "none.json"}})
    with pytest.raises(ConfigurationError, match="there are no encryption keys"):
        async with worker.open_runtime(settings):
            pass
