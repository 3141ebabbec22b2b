"""Words and examples of the OpenAPI document that belong to no single route."""

from __future__ import annotations

from typing import Any

DESCRIPTION = """Workflows defined as data, run durably on Temporal.

Send an API key or an access token as `Authorization: Bearer ...`, or the key as `X-API-Key`.

- Errors are `application/problem+json` (RFC 9457) with a stable `code`; `docs/errors` explains each.
- Lists come in pages: pass `next` of one page as `cursor` of the following one; null means the end.
- `Idempotency-Key` on a POST that takes it makes repeating the request harmless.
- Bodies are UTF-8 JSON without repeated keys and unknown members; they are not compressed.
- Replies may gain members; ignore those that you do not know."""

TAGS: dict[str, str] = {
    "ai-models": "AI models that workflows call by name",
    "api-keys": "Keys of people and machines: made, rotated, revoked",
    "approvals": "What waits for people, and their words",
    "auth": "How people sign in, stay signed in and sign out",
    "budgets": "Bounds of what AI calls may use",
    "executions": "Runs of workflows: started, watched, steered, repeated",
    "me": "Who the caller is",
    "notifications": "Whom to tell of what, and what was sent",
    "node types": "The catalogue of node types",
    "stats": "Numbers over executions",
    "system": "For load balancers and supervisors",
    "tenants": "Tenants of the installation, and the caller's own",
    "usage": "What AI calls used",
    "users": "Members of the tenant, and who is invited",
    "workflows": "What users define: documents and their versions",
}

PROBLEMS: dict[int, str] = {
    400: "The body cannot be parsed",
    401: "No valid API key or token was sent",
    403: "The caller may not do this",
    404: "There is no such thing for this caller",
    408: "The body did not arrive in time",
    409: "The thing is in a state that forbids it",
    412: "The thing was changed meanwhile",
    413: "The body is too large",
    414: "The query is too long",
    415: "The body is of a type, charset or encoding that is not read",
    422: "The request is not valid; `issues` says where",
    429: "Too much: a quota or rate limit is reached",
    503: "A part that is needed is away; try again",
}

PROBLEM_EXAMPLES: dict[int, tuple[str, str]] = {
    400: ("INVALID_JSON", "the body is no JSON: Expecting value"),
    401: ("UNAUTHENTICATED", "the API key is not known, or has expired"),
    403: ("ACCESS_DENIED", "the API key lacks the scope workflow:write"),
    404: ("NOT_FOUND", "there is no such workflow"),
    409: ("EXECUTION_CLOSED", "the execution has ended"),
    412: ("VERSION_CONFLICT", "the workflow was saved meanwhile: its latest version is 4"),
    413: ("TOO_LARGE", "the body is larger than 8,000,000 bytes"),
    415: ("MEDIA_TYPE", "send application/json"),
    422: ("INVALID_REQUEST", "the request is not valid"),
    429: ("QUOTA_EXCEEDED", "37 of 37 executions of this hour are used"),
    503: ("SYSTEM_FAULT", "PostgreSQL did not answer"),
}

_DOCUMENT: dict[str, Any] = {
    "name": "double",
    "inputs": {"type": "object", "properties": {"n": {"type": "integer", "default": 1}}},
    "nodes": [
        {"id": "start", "type": "manual"},
        {"id": "double", "type": "transform", "params": {"mapping": {"twice": "{{ input.n * 2 }}"}}},
    ],
    "edges": [{"source": "start", "target": "double"}],
}

EXAMPLES: dict[str, Any] = {
    "DocumentRequest": {"document": _DOCUMENT, "note": "the first version"},
    "StartDocumentRequest": {"document": _DOCUMENT, "input": {"n": 21}},
    "StartRequest": {"input": {"n": 21}, "metadata": {"team": "finance"}},
    "RerunRequest": {"from_node": "double"},
    "SkipRequest": {"output": {"twice": 42}},
    "DecisionRequest": {"decision": "approved", "comment": "as agreed"},
    "NotificationRuleRequest": {
        "name": "failures to operations",
        "on": ["failed", "timed_out"],
        "via": "email",
        "to": ["ops@shop.example"],
        "template": {"subject": "{{ workflow.name }} {{ event }}: {{ error.code }}"},
    },
    "BudgetRequest": {"period": "month", "tokens": 1_000_000},
}
