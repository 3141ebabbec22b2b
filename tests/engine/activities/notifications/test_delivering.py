"""Notifications from an event to its receiver: mail and webhooks on real servers, tried, given up, sent once."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from typing import Any
from uuid import uuid4

import pytest

from engine.activities.events.dispatching import Dispatcher
from models.repositories.notification_rules import NotificationRules, RuleText
from models.repositories.notifications import Notifications
from models.repositories.outbox import OutboxMessages
from models.repositories.quotas import Quotas
from tests.engine.activities.notifications.receiving import (
    SECRET,
    dispatch,
    mail_server,
    notifier_of,
    receiving,
    sent,
    write_credentials,
)
from tests.engine.workflows.asking import routed, say, waits
from tests.engine.workflows.lab import Lab, pure

pytestmark = pytest.mark.asyncio(loop_scope="session")
FINE = {"nodes": [pure("a", 1)], "edges": []}


def failing(**settings: Any) -> dict[str, Any]:
    node = {"id": "boom", "type": "transform", "params": {"mapping": "{{ 1 / input.zero }}"}}
    return {"nodes": [node], "edges": [], "settings": settings}


async def rule(lab: Lab, events: list[str], via: str, *targets: str, **more: Any) -> None:
    text = RuleText(f"r-{uuid4().hex[:6]}", events, via, list(targets), **more)
    await NotificationRules(lab.stack.runtime.database).create(lab.tenant, text, by="ada")


async def test_document_that_asks_for_it_is_told_of_its_failure_once(lab: Lab) -> None:
    async with receiving() as receiver:
        told = {"on": ["failed"], "via": "webhook", "url": receiver.url}
        ended = await lab.run(failing(notifications=[told]), {"zero": 0})
        await lab.run({**FINE, "settings": {"notifications": [told]}})
        await dispatch(lab)
        (row,) = await sent(lab)
        await dispatch(lab)

    body = receiver.body()
    assert len(receiver.calls) == 1
    assert row.status == "sent"
    assert row.attempts == 1
    assert body["type"] == "structforge.execution.failed"
    assert body["id"] == receiver.ids[0]
    assert body["data"]["execution"]["id"] == str(ended.row.id)
    assert body["data"]["error"]["code"] == "EXPRESSION_ERROR"
    assert body["data"]["link"] == f"https://flows.example/executions/{ended.row.id}"
    assert "output" not in body["data"]


async def test_event_that_is_handed_on_twice_and_by_two_is_told_once(lab: Lab) -> None:
    async with receiving() as receiver:
        await rule(lab, ["succeeded"], "webhook", receiver.url)
        await lab.run(FINE)
        notifier = notifier_of(lab)
        seen: list[Any] = []

        async def twice(message: Any) -> None:
            seen.append(message)
            await asyncio.gather(notifier.tell_of_end(message), notifier.tell_of_end(message))
            await notifier.tell_of_end(message)

        await Dispatcher(lab.stack.runtime.database, {"execution.finished": [twice]}).run_once()
        rows = await sent(lab)

    assert len(seen) == 1
    assert len(rows) == 1
    assert len(receiver.calls) == 1


async def test_rule_signs_fills_its_template_and_shows_output_only_when_it_says_so(lab: Lab) -> None:
    write_credentials(lab.stack.settings)
    body = {"text": "{{ workflow.name.upper() }} {{ event }}", "got": "{{ output }}", "none": "{{ error.code }}"}
    async with receiving() as receiver, receiving() as plain:
        await rule(
            lab, ["succeeded"], "webhook", receiver.url,
            credential="signing", template={"body": body}, include_output=True,
        )  # fmt: skip
        await rule(lab, ["succeeded"], "webhook", plain.url, template={"body": {"got": "{{ output }}"}})
        await lab.run({"name": "order-sync", **FINE})
        await dispatch(lab)
        await sent(lab, 2)

    headers, raw = receiver.calls[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + raw
    wanted = base64.b64encode(hmac.digest(SECRET.encode(), signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    assert receiver.body() == {"text": "ORDER-SYNC succeeded", "got": {"a": 1}, "none": None}
    assert plain.body() == {"got": None}


async def test_refused_delivery_is_tried_again_under_the_same_id_and_given_up_in_the_end(lab: Lab) -> None:
    async with receiving(503, 429) as shaky, receiving(500, 500, 500, 500) as broken, receiving(404) as gone:
        for receiver in (shaky, broken, gone):
            await rule(lab, ["succeeded"], "webhook", receiver.url)
        await lab.run(FINE)
        await dispatch(lab)
        rows = {row.target: row for row in await sent(lab, 3)}

        assert (rows[shaky.url].status, rows[shaky.url].attempts, rows[shaky.url].error) == ("sent", 3, None)
        assert len(set(shaky.ids)) == 1
        assert (rows[broken.url].status, len(broken.calls)) == ("dead", 3)
        assert rows[broken.url].error["details"]["status"] == 500  # type: ignore[index]
        assert (rows[gone.url].status, len(gone.calls)) == ("dead", 1), "another try would not help"

        again = await Notifications(lab.stack.runtime.database).send_again(lab.tenant, rows[gone.url].id)
        await dispatch(lab)
        await lab.eventually(lambda: _is_sent(lab, again.id))
        assert gone.ids[0] == gone.ids[1], "who has had it can tell"


async def _is_sent(lab: Lab, notification_id: Any) -> bool:
    return (await Notifications(lab.stack.runtime.database).get(lab.tenant, notification_id)).status == "sent"


async def test_internal_address_is_refused_and_the_row_says_why(lab: Lab) -> None:
    await rule(lab, ["succeeded"], "webhook", "http://169.254.169.254/latest")
    await lab.run(FINE)
    await dispatch(lab)
    (row,) = await sent(lab)
    assert row.status == "dead"
    assert row.error is not None
    assert row.error["code"] == "BLOCKED_ADDRESS"


async def test_mail_goes_to_each_receiver_with_values_escaped_and_no_header_added(lab: Lab) -> None:
    async with mail_server("451 later") as post:
        write_credentials(lab.stack.settings, post)
        template = {
            "subject": "{{ workflow.name }}\r\nBcc: all@shop.example {{ error.code }}",
            "html": "<b>{{ workflow.name }}</b><i>{{ '<script>' + event }}</i>",
        }
        targets = ("ada@shop.example", "Ben <ben@shop.example>")
        await rule(lab, ["failed"], "email", *targets, template=template)
        await lab.run({"name": "<sync>\r\nBcc: x@y.example", **failing()}, {"zero": 0})
        await dispatch(lab)
        rows = await sent(lab, 2)

    assert {row.status for row in rows} == {"sent"}
    assert sorted(row.attempts for row in rows) == [1, 2], "a reply 4xx is about now"
    assert sorted(post.recipients) == ["ada@shop.example", "ben@shop.example"]
    mail = post.mails[0]
    assert mail["Subject"] == "<sync> Bcc: x@y.example Bcc: all@shop.example EXPRESSION_ERROR"
    assert mail["Bcc"] is None
    assert mail["From"] == "robot@flows.example"
    parts = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
    assert "<b>&lt;sync&gt;\r\nBcc: x@y.example</b><i>&lt;script&gt;failed</i>" in parts["text/html"].replace(
        "\n", "\r\n"
    ).replace("\r\r", "\r")
    assert "Error message:" in parts["text/plain"], "what the template leaves out is in our words"
    assert len({one["Message-ID"] for one in post.mails}) == 2


async def test_template_that_cannot_be_filled_gives_way_to_the_products_words(lab: Lab) -> None:
    async with mail_server() as post:
        write_credentials(lab.stack.settings, post)
        await rule(lab, ["succeeded"], "email", "ada@shop.example", template={"subject": "{{ 1 / attempt.zero }}"})
        await lab.run({"name": "order-sync", **FINE})
        await dispatch(lab)
        (row,) = await sent(lab)
    assert row.status == "sent"
    assert row.error is not None
    assert row.error["code"] == "EXPRESSION_ERROR"
    assert post.mails[0]["Subject"] == "order-sync succeeded"


async def test_without_a_mail_server_the_row_says_what_to_set(lab: Lab) -> None:
    write_credentials(lab.stack.settings)
    await rule(lab, ["succeeded"], "email", "ada@shop.example")
    await lab.run(FINE)
    await dispatch(lab)
    (row,) = await sent(lab)
    assert row.status == "dead"
    assert row.error is not None
    assert "notifications-smtp" in row.error["message"]


async def test_approval_that_opens_is_told_with_a_link_and_one_that_is_decided_is_not(lab: Lab) -> None:
    async with receiving() as receiver:
        told = {"on": ["waiting"], "via": "webhook", "url": receiver.url}
        document = {**routed(message="Pay?", approvers=["ben"]), "settings": {"notifications": [told]}}
        started = await lab.start(document)
        (asked,) = await waits(started)
        decided = await lab.start(document)
        await waits(decided)
        assert await say(decided, "ben", "approved")
        await decided.end()
        await dispatch(lab)
        await sent(lab)
        await say(started, "ben", "rejected")
        await started.end()
        await dispatch(lab)

    assert len(receiver.calls) == 1
    body = receiver.body()
    assert body["type"] == "structforge.approval.opened"
    assert body["data"]["approval"]["message"] == "Pay?"
    assert body["data"]["link"] == f"https://flows.example/approvals/{asked.id}"


async def test_rule_speaks_of_its_workflow_and_tag_alone(lab: Lab) -> None:
    async with receiving() as receiver:
        await rule(lab, ["succeeded"], "webhook", f"{receiver.url}/tagged", tag="money")
        await rule(lab, ["succeeded"], "webhook", f"{receiver.url}/other", workflow_id=uuid4())
        await rule(lab, ["failed"], "webhook", f"{receiver.url}/failed")
        await rule(lab, ["succeeded"], "webhook", f"{receiver.url}/off", enabled=False)
        await lab.run(FINE)
        await dispatch(lab)
    rows = await Notifications(lab.stack.runtime.database).list(lab.tenant)
    assert rows.items == []
    assert receiver.calls == []


async def test_quota_of_which_four_fifths_are_used_is_told_once_a_period(lab: Lab) -> None:
    await Quotas(lab.stack.runtime.database).put(lab.tenant, "tenant", "executions", "day", 5)
    async with receiving() as receiver:
        await rule(lab, ["quota_near"], "webhook", receiver.url)
        for _ in range(3):
            await lab.run(FINE)
        await dispatch(lab)
        assert receiver.calls == []
        await lab.run(FINE)  # 4 of 5 are 80 %
        await Quotas(lab.stack.runtime.database).put(lab.tenant, "tenant", "executions", "day", 6)
        await lab.run(FINE)  # 5 of 6 are over it: counted afresh, and told of before
        await dispatch(lab)
        await sent(lab)
        await dispatch(lab)

    assert len(receiver.calls) == 1
    body = receiver.body()
    assert body["type"] == "structforge.quota.near"
    wanted = {"kind": "executions", "subject": "tenant", "period": "day", "limit": 5, "used": 4}
    assert body["data"]["quota"] == wanted


async def test_ends_that_nobody_wants_to_hear_of_are_settled_without_a_handler(lab: Lab) -> None:
    await lab.run(FINE)
    before = await OutboxMessages(lab.stack.runtime.database).counts()
    assert before[0] >= 1
    notifier = notifier_of(lab)
    dispatcher = Dispatcher(lab.stack.runtime.database, notifier.handlers())
    await dispatcher.run_once()
    assert dispatcher.unheard >= 1
    assert dispatcher.failed == 0
