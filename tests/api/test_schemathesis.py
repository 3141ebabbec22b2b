"""Generated requests to every operation of the OpenAPI document, against the API over real servers.

Valid and invalid ones; no answer may be a server error, or other than the document says. `make schemathesis` sends at
least 200 to each operation, the default run a few.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import random
import re
from collections import Counter, defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from schemathesis.config import SchemathesisConfig

from api.app import create_app
from api.live.schemas import (
    EndMessage,
    ExecutionMessage,
    LineMessage,
    Message,
    NodeMessage,
    PartialMessage,
    ResetMessage,
)
from api.openapi import operations
from engine.settings import Settings
from tests.api.live import LiveApi, live_api

CASES = int(os.environ.get("SCHEMATHESIS_CASES", "5"))
REPORT = os.environ.get("SCHEMATHESIS_REPORT")
LONGEST_WAIT_S = 0.05
TIMEOUT_S = 30
STREAMS = ("/api/v1/executions/{execution_id}/events", "/api/v1/events/stream")  # they last until they are told
MESSAGES: dict[str, type[Message]] = {
    **dict.fromkeys(("node.started", "node.retrying", "node.waiting", "node.finished"), NodeMessage),
    **dict.fromkeys(("execution.status", "execution.finished"), ExecutionMessage),
    "node.partial": PartialMessage,
    "log": LineMessage,
    "reset": ResetMessage,
    "end": EndMessage,
}
# A request may fit the schema and still be refused: a document that has errors, a name that is taken, another's id.
EXPECTED = ["2xx", "401", "403", "404", "409", "412", "422", "429"]


def _document() -> dict[str, Any]:
    """The document as it is served, but without `default`, so that each status must be named."""
    document = copy.deepcopy(create_app(Settings()).openapi())
    for _, _, operation in operations(document):
        operation["responses"].pop("default", None)
    for path in STREAMS:
        # OpenAPI 3.1 can say of a stream that it is text; Schemathesis takes the schema for that of each event.
        document["paths"][path]["get"]["responses"]["200"]["content"]["text/event-stream"]["schema"] = _event_schema()
    return document


def _event_schema() -> dict[str, Any]:
    """A message of a live stream: one of the names, with the data that belongs to it."""
    return {"oneOf": [_message_schema(name, data) for name, data in MESSAGES.items()]}


def _message_schema(name: str, data: type[Message]) -> dict[str, Any]:
    told = {"type": "string", "contentMediaType": "application/json", "contentSchema": data.model_json_schema()}
    return {"type": "object", "required": ["event", "data"], "properties": {"event": {"const": name}, "data": told}}


def _words_beside_ids(document: dict[str, Any]) -> list[str]:
    """Operations such as `GET /workflows/export`, whose last word would be an id for another method: that is refused
    as no id (404, 422) or for lack of rights, where Schemathesis wants a 405."""
    patterns = {path.rpartition("/")[0] for path in document["paths"] if path.endswith("}")}
    words = [path for path in document["paths"] if not path.endswith("}") and path.rpartition("/")[0] in patterns]
    return [operation["operationId"] for path in words for operation in document["paths"][path].values()]


def _off(document: dict[str, Any]) -> dict[str, list[str]]:
    """Checks that do not fit an operation, by its id."""
    off: dict[str, list[str]] = {name: ["unsupported_method"] for name in _words_beside_ids(document)}
    for name in ("validate_workflow", "import_workflows"):
        # What they are for: any body at all is answered 200, with its issues.
        off.setdefault(name, []).append("negative_data_rejection")
    return off


def _config(document: dict[str, Any]) -> SchemathesisConfig:
    return SchemathesisConfig.from_dict(
        {
            "phases": {"coverage": {"enabled": CASES >= 50}, "stateful": {"enabled": False}},
            "checks": {
                "positive_data_acceptance": {"expected-statuses": EXPECTED},
                # Another status is as good a refusal; 404 and 409 come before a body is looked at.
                "negative_data_rejection": {"expected-statuses": [*map(str, range(400, 500))]},
            },
            "operations": [
                {"include-operation-id": name, "checks": {check: {"enabled": False} for check in checks}}
                for name, checks in _off(document).items()
            ],
        }
    )


# Under every name that the built-in reader goes by, for it takes whichever of them was registered first.
@schemathesis.deserializer("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/vnd.yaml")
def _yaml(_context: Any, response: Any) -> Any:
    """The text itself: an answer may be a stream of several documents."""
    return response.content.decode()


DOCUMENT = _document()
schema = schemathesis.openapi.from_dict(DOCUMENT, config=_config(DOCUMENT))
_TEMPLATES = {
    re.compile("^" + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + "$"): path
    for path in DOCUMENT["paths"]
    if "{" in path
}


class Ids:
    """Ids that the API itself has given, by the path parameter that takes them."""

    def __init__(self) -> None:
        self.known: dict[str, list[str]] = defaultdict(list)
        self._random = random.Random(1)

    def note(self, path: str, answer: Any) -> None:
        """Remember what an answer brings: a Location, or a list with ids."""
        for location in answer.headers.get("location", ()):
            self._note_address(location)
        if (
            not answer.content
            or answer.status_code // 100 != 2
            or "application/json" not in answer.headers.get("content-type", ())
        ):
            return
        body = answer.json()
        items = body.get("items") if isinstance(body, dict) else None
        for item in items if isinstance(items, list) else ():
            if isinstance(item, dict) and isinstance(item.get("id"), str):
                self._note_address(f"{path}/{item['id']}")

    def put_into(self, parameters: dict[str, Any]) -> None:
        """Half of the time, ids that exist in place of made up ones."""
        for name in parameters:
            if self.known[name] and self._random.random() < 0.5:
                parameters[name] = self._random.choice(self.known[name][-20:])

    def _note_address(self, address: str) -> None:
        for pattern in _TEMPLATES:
            if match := pattern.match(address):
                for name, value in match.groupdict().items():
                    if value not in self.known[name]:
                        self.known[name].append(value)


@pytest.fixture(scope="module")
def ids() -> Ids:
    return Ids()


@pytest.fixture(scope="module")
def counted() -> Counter[str]:
    return Counter()


@pytest.fixture
def counts(counted: Counter[str]) -> Generator[Counter[str]]:
    """Cases and statuses by operation; written to a file if the run asks for it, after each operation."""
    yield counted
    if REPORT:
        Path(REPORT).write_text(json.dumps(dict(sorted(counted.items())), indent=1))


@pytest.fixture(scope="module")
def live(engine_servers: Settings) -> Generator[LiveApi]:
    own = {"worker": {"task_queue": "schemathesis"}, "api": {"max_body_bytes": 300_000}}
    with live_api(engine_servers.override(own)) as served:
        yield served


@pytest.fixture
def api_key(live: LiveApi) -> str:
    return live.fresh_key()


def _ask_for_short_waits(case: schemathesis.Case) -> None:
    """A stream lasts as long as it is asked to, and a start waits for its end."""
    if case.operation.path in STREAMS:
        case.query = {"wait_s": LONGEST_WAIT_S, **(case.query if isinstance(case.query, dict) else {})}
    if isinstance(case.query, dict) and "wait_s" in case.query:
        with contextlib.suppress(TypeError, ValueError):  # what is no number is refused
            case.query["wait_s"] = min(float(case.query["wait_s"]), LONGEST_WAIT_S)


@schema.parametrize()
@hypothesis_settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=CASES < 50)
def test_every_answer_is_as_the_document_says(
    case: schemathesis.Case, live: LiveApi, api_key: str, ids: Ids, counts: Counter[str]
) -> None:
    is_valid = case.meta is None or case.meta.generation.mode.is_positive
    if is_valid:
        ids.put_into(case.path_parameters)
    _ask_for_short_waits(case)

    answer = case.call(base_url=live.url, headers={"Authorization": f"Bearer {api_key}"}, timeout=TIMEOUT_S)

    counts[case.operation.label] += 1
    counts[f"{case.operation.label} -> {answer.status_code}"] += 1
    ids.note(case.operation.path if not case.path_parameters else case.formatted_path, answer)
    case.validate_response(answer, headers={"Authorization": f"Bearer {api_key}"})
