"""What a notification says: the product's own words, or the template of a rule.

Templates are filled in the sandbox of expressions, inside the worker. What comes out of one is text: a subject becomes
one line, values in HTML are escaped, and nothing that came out is read as a template again.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from engine.activities.notifications.facts import scope_of
from engine.errors import OUTPUT_TOO_LARGE, NodeError
from engine.expressions import Evaluator, Expression, Template, compile_template, render
from engine.expressions.faults import ExpressionFault, located
from engine.expressions.scan import split_text
from engine.expressions.templates import Leaf, as_text
from engine.nodes.json_text import dump_json

MAX_SUBJECT_CHARS = 200
MAX_TEXT_CHARS = 100_000
MAX_BODY_BYTES = 262_144
_VERBS = {
    "failed": "failed",
    "succeeded": "succeeded",
    "cancelled": "was cancelled",
    "timed_out": "ran out of time",
    "waiting": "asks for approval",
}
_Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class MailText:
    """A message before it has a sender; the subject is one line."""

    subject: str
    text: str
    html: str | None


async def mail_text(facts: _Facts, template: Mapping[str, Any] | None, evaluator: Evaluator) -> MailText:
    """The mail about these facts; what a template leaves out is in the product's words.

    Raises: NodeError EXPRESSION_ERROR or OUTPUT_TOO_LARGE if the template cannot be filled.
    """
    given, own = template or {}, default_mail(facts)
    subject, text = own.subject, own.text
    if given.get("subject"):
        subject = one_line(as_text(await render(compile_template(given["subject"]), scope_of(facts), evaluator)))
    if given.get("text"):
        text = _bounded(as_text(await render(compile_template(given["text"]), scope_of(facts), evaluator)))
    if given.get("html"):
        return MailText(subject, text, _bounded(await _filled_html(given["html"], scope_of(facts), evaluator)))
    return MailText(subject, text, None if given.get("text") else own.html)


async def webhook_body(
    facts: _Facts, message_id: str, template: Mapping[str, Any] | None, evaluator: Evaluator
) -> bytes:
    """The JSON that a webhook carries. Raises: NodeError EXPRESSION_ERROR, OUTPUT_TOO_LARGE."""
    if template and template.get("body") is not None:
        return _encoded(await render(compile_template(template["body"]), scope_of(facts), evaluator))
    return default_body(facts, message_id)


def default_body(facts: _Facts, message_id: str) -> bytes:
    """The product's own: `{type, id, timestamp, data}` after the Standard Webhooks scheme. Raises: NodeError."""
    data = {name: value for name, value in facts.items() if value is not None and name not in ("event", "at")}
    subject = {"waiting": "approval.opened", "quota_near": "quota.near"}.get(facts["event"])
    kind = subject or f"execution.{facts['event']}"
    return _encoded({"type": f"structforge.{kind}", "id": message_id, "timestamp": facts["at"], "data": data})


def default_mail(facts: _Facts) -> MailText:
    """The product's own words."""
    subject, lines = _summary(facts), _lines(facts)
    text = "\n".join(f"{name}: {value}" for name, value in lines)
    rows = "".join(f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>" for name, value in lines)
    link = html.escape(str(facts["link"]), quote=True)
    markup = f'<h3>{html.escape(subject)}</h3><table cellpadding="4">{rows}</table><p><a href="{link}">{link}</a></p>'
    return MailText(one_line(subject), f"{subject}\n\n{text}\n\n{facts['link']}\n", markup)


def one_line(text: str) -> str:
    """A header's worth: every control character is a space, so that none can begin another header."""
    plain = "".join(" " if ord(one) < 32 or ord(one) in (127, 0x85, 0x2028, 0x2029) else one for one in text)
    plain = plain.encode("utf-8", "replace").decode("utf-8")
    return " ".join(plain.split())[:MAX_SUBJECT_CHARS]


def _summary(facts: _Facts) -> str:
    if facts["event"] == "quota_near":
        quota = facts["quota"]
        period = f" a {quota['period']}" if quota["period"] else ""
        return f"{quota['used']} of {quota['limit']} {quota['kind'].replace('_', ' ')}{period} are used"
    summary = f"{facts['workflow']['name']} {_VERBS[facts['event']]}"
    if facts["error"] and facts["event"] == "failed":
        summary += f": {facts['error']['code']}"
    return summary


def _lines(facts: _Facts) -> list[tuple[str, str]]:
    lines: list[tuple[str, Any]] = [("When", facts["at"])]
    for part, names in (
        ("approval", ("message", "node", "approvers", "quorum", "deadline")),
        ("error", ("code", "message")),
        ("execution", ("id", "trigger", "started_by", "started_at", "duration_ms")),
        ("quota", ("kind", "subject", "period", "limit", "used")),
    ):
        about = cast("Mapping[str, Any]", facts.get(part) or {})
        lines += [(f"{part.capitalize()} {name.replace('_', ' ')}", about[name]) for name in names if about.get(name)]
    if facts["approval"]:
        decide = f"structforge approval approve {facts['approval']['id']}"
        lines.append(("To decide", f"open the link below, or run: {decide}"))
    if facts["output"] is not None:
        lines.append(("Output", facts["output"]))
    return [(name, as_text(value)[:MAX_TEXT_CHARS]) for name, value in lines]


async def _filled_html(text: str, facts: _Facts, evaluator: Evaluator) -> str:
    """HTML in which every value of an expression is escaped, and the template's own text is not."""
    try:
        parts = split_text(text)
    except ExpressionFault as fault:
        raise located(fault.as_error(text), "html") from None
    found = [part for part in parts if isinstance(part, Expression)]
    leaves = [Leaf((part,), True, "html") if isinstance(part, Expression) else part for part in parts]
    template = Template(
        leaves, constant=False, computed=tuple(one for one in found if one.computed), expressions=tuple(found)
    )
    # What stands between is no template any more, so a value is a value wherever its place is an expression's.
    values = await render(template, facts, evaluator)
    return "".join(
        html.escape(as_text(value), quote=True) if isinstance(part, Expression) else part
        for part, value in zip(parts, values, strict=True)
    )


def _bounded(text: str) -> str:
    if len(text) > MAX_TEXT_CHARS:
        raise NodeError(
            f"the text of a notification has at most {MAX_TEXT_CHARS} characters",
            code=OUTPUT_TOO_LARGE,
            details={"characters": len(text)},
        )
    return text


def _encoded(body: Any) -> bytes:
    try:
        data = dump_json(body)
    except ValueError as error:
        raise NodeError(f"body: {error}", code=OUTPUT_TOO_LARGE) from None
    if len(data) > MAX_BODY_BYTES:
        raise NodeError(
            f"the body of a notification has at most {MAX_BODY_BYTES} bytes",
            code=OUTPUT_TOO_LARGE,
            details={"bytes": len(data)},
        )
    return data
