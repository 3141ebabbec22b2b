"""The types of credentials: which fields each has, the same for the operator's file and for the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engine.errors import Issue, NodeError
from engine.nodes.outbound.targets import parse_url

Form = Literal["text", "port", "security", "texts", "url"]
SHORTEST_SECRET = 4  # a shorter one cannot be told from ordinary text, and so not be kept out of errors and logs
LONGEST_TEXT = 20_000
_MOST_TEXTS = 100
_SECURITY = ("starttls", "tls", "none")
_FORMS: Mapping[Form, tuple[str, dict[str, Any]]] = {
    "text": ("text", {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT}),
    "port": ("a port number", {"type": "integer", "minimum": 1, "maximum": 65535}),
    "security": ("starttls, tls or none", {"type": "string", "enum": list(_SECURITY)}),
    "texts": ("a list of texts", {"type": "array", "items": {"type": "string"}, "maxItems": _MOST_TEXTS}),
    "url": ("an http(s) URL without user name and password", {"type": "string", "format": "uri"}),
}


@dataclass(frozen=True, slots=True)
class CredentialField:
    """One field of a type; a `secret` one is never shown again, and is taken out of errors and outputs."""

    name: str
    description: str
    form: Form = "text"
    required: bool = True
    secret: bool = False


@dataclass(frozen=True, slots=True)
class CredentialType:
    """What a credential of one type has beside its name and `allowed_hosts`.

    `names_host` says that the fields themselves say where the secret goes; all other types but `hmac` are sent wherever
    a node says, and so a tenant's must be bound to hosts.
    """

    name: str
    title: str
    description: str
    fields: tuple[CredentialField, ...]
    names_host: bool = False
    is_sent: bool = True

    @property
    def needs_hosts(self) -> bool:
        return self.is_sent and not self.names_host

    def json_schema(self) -> dict[str, Any]:
        """The fields as JSON Schema."""
        properties = {
            field.name: {**_FORMS[field.form][1], "description": field.description}
            | ({"writeOnly": True} if field.secret else {})
            for field in self.fields
        }
        required = [field.name for field in self.fields if field.required]
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _secret(name: str, description: str, *, required: bool = True) -> CredentialField:
    return CredentialField(name, description, required=required, secret=True)


def _maybe(name: str, description: str, form: Form = "text") -> CredentialField:
    return CredentialField(name, description, form, required=False)


_ALL = (
    CredentialType(
        "api_key",
        "API key",
        "A key in a header or in the query of a request.",
        (
            _secret("value", "The key"),
            _maybe("header", "Header that carries it; x-api-key if neither header nor query is given"),
            _maybe("query", "Query parameter that carries it"),
            _maybe("prefix", "Text before the key in the header"),
        ),
    ),
    CredentialType("bearer", "Bearer token", "A token in the Authorization header.", (_secret("token", "The token"),)),
    CredentialType(
        "basic",
        "User name and password",
        "HTTP basic authentication.",
        (CredentialField("username", "The user name"), _secret("password", "The password")),
    ),
    CredentialType(
        "hmac",
        "Signing secret",
        "Signs webhooks that are sent, or proves those that come in; the secret itself is never sent.",
        (_secret("secret", "The secret, as whsec_... or any text"),),
        is_sent=False,
    ),
    CredentialType(
        "oauth2_client_credentials",
        "OAuth 2.0 client credentials",
        "Fetches access tokens for a client, and sends them as bearer tokens.",
        (
            CredentialField("token_url", "Where tokens are fetched", "url"),
            CredentialField("client_id", "The client's id"),
            _secret("client_secret", "The client's secret"),
            _maybe("scopes", "Scopes to ask for", "texts"),
            _maybe("audience", "Audience to ask for, where the server wants one"),
        ),
    ),
    CredentialType(
        "connection",
        "Connection",
        "The URL of a database or a message broker, with user name and password.",
        (_secret("url", "Such as postgresql://user:password@db.example/name"),),
        names_host=True,
    ),
    CredentialType(
        "smtp",
        "Mail server",
        "A server that takes e-mails.",
        (
            CredentialField("host", "The server's name"),
            _maybe("port", "587, 465 or 25 by security if left out", "port"),
            _maybe("username", "The user name"),
            _secret("password", "The password", required=False),
            _maybe("security", "starttls (default), tls or none", "security"),
            _maybe("from_address", "The sender, if a node names none"),
        ),
        names_host=True,
    ),
)
CREDENTIAL_TYPES: Mapping[str, CredentialType] = {kind.name: kind for kind in _ALL}


def needs_hosts(kind: str) -> bool:
    """Whether a tenant's credential of this type must be bound to hosts."""
    return CREDENTIAL_TYPES[kind].needs_hosts


def field_issues(kind: CredentialType, fields: Mapping[str, Any], path: str = "") -> Iterator[Issue]:
    """Everything that is wrong with the fields of a credential; no message holds a value."""
    known = {field.name: field for field in kind.fields}
    unknown = sorted(map(str, fields.keys() - known.keys()))
    if unknown:
        message = f"has unknown fields: {', '.join(unknown)}; known: {', '.join(known)}"
        yield Issue("UNKNOWN_KEY", path, message)
    missing = [field.name for field in kind.fields if field.required and fields.get(field.name) in (None, "")]
    if missing:
        yield Issue("MISSING_KEY", path, f"of type {kind.name} needs {', '.join(missing)}")
    for name, field in known.items():
        if name in fields and name not in missing and not _fits(field.form, fields[name]):
            yield Issue("INVALID_VALUE", f"{path}.{name}".lstrip("."), f"must be {_FORMS[field.form][0]}")


def secret_issues(kind: CredentialType, fields: Mapping[str, Any], path: str = "") -> Iterator[Issue]:
    """Secrets that are too short to be kept out of errors and outputs, for credentials that people send."""
    for field in kind.fields:
        value = fields.get(field.name)
        if field.secret and isinstance(value, str) and 0 < len(value) < SHORTEST_SECRET:
            message = f"must have {SHORTEST_SECRET} characters or more: a shorter secret cannot be kept out of texts"
            yield Issue("INVALID_VALUE", f"{path}.{field.name}".lstrip("."), message)


def _fits(form: Form, value: Any) -> bool:
    if form == "port":
        return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536
    if form == "texts":
        return isinstance(value, list) and len(value) <= _MOST_TEXTS and all(_fits("text", one) for one in value)  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]  # checked here
    if not isinstance(value, str) or len(value) > LONGEST_TEXT or "\x00" in value:
        return False
    return _is_http(value) if form == "url" else form != "security" or value in _SECURITY


def _is_http(text: str) -> bool:
    try:
        parse_url(text)
    except NodeError:
        return False
    return True
