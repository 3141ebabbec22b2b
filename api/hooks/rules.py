"""Rules that the headers of a call must keep."""

from __future__ import annotations

import hmac

import re2
from starlette.datastructures import Headers

from api.audit import note_reason
from engine.errors import AccessDenied
from engine.nodes.trigger.webhook import HeaderRule, WebhookParams

REFUSED = "WEBHOOK_REFUSED"


def check_rules(params: WebhookParams, headers: Headers) -> None:
    """Raises: AccessDenied (WEBHOOK_REFUSED), which does not say what a header would have to be."""
    for name, rule in params.headers.items():
        if not _keeps(HeaderRule(equals=rule) if isinstance(rule, str) else rule, headers.getlist(name)):
            note_reason(f"the header {name.lower()} does not keep its rule")
            raise AccessDenied("the webhook refuses the call: its headers do not keep the rules", code=REFUSED)


def _keeps(rule: HeaderRule, given: list[str]) -> bool:
    """Every part that is given must hold, for each header of the name."""
    return all(_fits(rule, text) for text in given) if given else not rule.required


def _fits(rule: HeaderRule, text: str) -> bool:
    if rule.equals is not None and not _same(text, rule.equals):
        return False
    if rule.one_of is not None and not sum(_same(text, one) for one in rule.one_of):
        return False
    return rule.pattern is None or re2.fullmatch(rule.pattern, text) is not None


def _same(text: str, expected: str) -> bool:
    # People put secrets into rules, so the time it takes does not tell how much fits.
    return hmac.compare_digest(text.encode("utf-8", "replace"), expected.encode("utf-8", "replace"))
