"""Workflows with webhooks, their credentials, and calls from outside."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2

from engine.nodes.outbound.webhooks import signature_of, signing_key
from models.repositories.tenants import FIRST_TENANT
from tests.api.conftest import document

SECRET = "whsec_c2VjcmV0LW9mLXRoZS10ZXN0cy1vZi13ZWJob29rcw=="


def fresh_path() -> str:
    return f"t/{uuid4().hex[:12]}"


def hooked(path: str, *, credential: str | None = None, **params: Any) -> dict[str, Any]:
    """A document that gives back what it was called with, as the node `echo` and as its outputs."""
    hook = {"id": "hook", "type": "webhook", "params": {"path": path, **params}}
    if credential is not None:
        hook["credential"] = credential
    echo = {"id": "echo", "type": "transform", "params": {"mapping": "{{ nodes.hook.output.body }}"}}
    edges = [{"source": "hook", "target": "echo"}]
    outputs = {"got": "{{ nodes.hook.output }}"}
    return document(nodes=[hook, echo], edges=edges, inputs={}, outputs=outputs)


async def publish(api: httpx2.AsyncClient, given: dict[str, Any], **query: Any) -> dict[str, Any]:
    answer = await api.post("/workflows", json={"document": given}, params=query)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def credential(api: httpx2.AsyncClient, kind: str, **fields: Any) -> str:
    """A new credential's name."""
    name = f"hook-{uuid4().hex[:10]}"
    hosts = [] if kind == "hmac" else ["caller.example"]
    body = {"name": name, "type": kind, "fields": fields, "allowed_hosts": hosts}
    answer = await api.post("/credentials", json=body)
    assert answer.status_code == 201, answer.text
    return name


def url_of(path: str, tenant: object = FIRST_TENANT) -> str:
    return f"http://api/hooks/{tenant}/{path}"


@dataclass(frozen=True, slots=True)
class Signed:
    """Headers of a call that is signed after Standard Webhooks."""

    body: bytes
    message_id: str
    at: int
    secret: str = SECRET

    def headers(self, **more: str) -> dict[str, str]:
        signature = signature_of(signing_key(self.secret), self.message_id, self.at, self.body)
        return {
            "webhook-id": self.message_id,
            "webhook-timestamp": str(self.at),
            "webhook-signature": signature,
            "content-type": "application/json",
            **more,
        }


def signed(body: bytes, *, age_s: int = 0, secret: str = SECRET, message_id: str | None = None) -> Signed:
    return Signed(body, message_id or f"msg_{uuid4().hex}", int(time.time()) - age_s, secret)
