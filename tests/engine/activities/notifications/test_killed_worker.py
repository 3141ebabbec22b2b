"""A worker that is killed while it tells of an event: whoever goes by the ids hears of it once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from engine.activities.notifications.delivering import deliver_notification
from engine.contracts import NotificationInput
from models.repositories.notification_rules import NotificationRules, RuleText
from models.repositories.notifications import Draft, Notifications
from tests.engine.activities.notifications.receiving import (
    dispatch,
    mail_server,
    notifier_of,
    receiving,
    sent,
    write_credentials,
)
from tests.engine.workflows.lab import Lab, pure
from tests.faults.worker_processes import WorkerProcesses

pytestmark = pytest.mark.asyncio(loop_scope="session")
QUEUE = "notifications-killed"


@asynccontextmanager
async def told_by_a_process(lab: Lab, via: str, target: str) -> AsyncGenerator[WorkerProcesses]:
    """An execution has ended, and a worker process of its own is about to tell of it."""
    rule = RuleText("all", ["succeeded"], via, [target])
    await NotificationRules(lab.stack.runtime.database).create(lab.tenant, rule, by="ada")
    await lab.run({"nodes": [pure("a", 1)], "edges": []})
    notifier = notifier_of(lab)
    notifier.settings = notifier.settings.override({"worker": {"task_queue": QUEUE}})
    settings = lab.stack.settings.override({"worker": {"task_queue": QUEUE, "evaluator_processes": 1}})
    async with WorkerProcesses(settings, lab.stack.runtime.temporal, count=1) as workers:
        await workers.all_ready()
        await dispatch(lab, notifier)
        yield workers


@pytest.mark.slow
async def test_webhook_arrives_under_one_id_though_its_worker_is_killed_before_the_answer(lab: Lab) -> None:
    async with receiving() as receiver:
        receiver.may_answer.clear()
        async with told_by_a_process(lab, "webhook", receiver.url) as workers:
            await asyncio.wait_for(receiver.arrived.wait(), 60)
            await workers.kill(0)
            receiver.may_answer.set()
            (row,) = await sent(lab)
    assert (row.status, row.attempts) == ("sent", 2)
    assert len(receiver.calls) == 2
    assert len(set(receiver.ids)) == 1
    assert receiver.calls[0][1] == receiver.calls[1][1]


@pytest.mark.slow
async def test_mail_carries_one_message_id_though_its_worker_is_killed_before_the_reply(lab: Lab) -> None:
    async with mail_server() as post:
        write_credentials(lab.stack.settings, post)
        post.may_reply.clear()
        async with told_by_a_process(lab, "email", "ada@shop.example") as workers:
            await asyncio.wait_for(post.arrived.wait(), 60)
            await workers.kill(0)
            post.may_reply.set()
            (row,) = await sent(lab)
    assert (row.status, row.attempts) == ("sent", 2)
    assert len(post.mails) == 2, "no protocol could say whether the first one was taken"
    assert len({mail["Message-ID"] for mail in post.mails}) == 1


async def test_last_try_that_was_begun_and_never_ended_is_given_up_as_unknown(lab: Lab) -> None:
    async with receiving() as receiver:
        draft = Draft("quota_near", "webhook", receiver.url, {"event": "quota_near"})
        table = Notifications(lab.stack.runtime.database)
        (row,) = await table.add(lab.tenant, uuid4(), [draft])
        for _ in range(2):
            await table.begin(lab.tenant, row.id, 0)  # by workers that died
        request = NotificationInput(str(lab.tenant), str(row.id), max_attempts=2)
        result = await deliver_notification(lab.stack.runtime, request)
        again = await deliver_notification(lab.stack.runtime, request)
    (row,) = await sent(lab)
    assert (result, again) == ("dead", "")
    assert row.error is not None
    assert row.error["code"] == "OUTCOME_UNKNOWN"
    assert receiver.calls == []
