from __future__ import annotations

from typing import Any

import pytest

from engine.nodes.messaging.bodies import decode_message, encode_message

JSON, TEXT, BYTES = "application/json", "text/plain; charset=utf-8", "application/octet-stream"


@pytest.mark.parametrize(
    ("message", "form", "body", "content_type"),
    [
        ({"a": 1}, "auto", b'{"a":1}', JSON),
        ([1, None], "auto", b"[1,null]", JSON),
        (None, "auto", b"null", JSON),
        ("Köln", "auto", "Köln".encode(), TEXT),
        ({"base64": "AP8="}, "auto", b"\x00\xff", BYTES),
        ("text", "json", b'"text"', JSON),
        ({"base64": "AP8="}, "json", b'{"base64":"AP8="}', JSON),
        ("text", "bytes", b"text", BYTES),
    ],
)
def test_message_is_encoded(message: Any, form: Any, body: bytes, content_type: str) -> None:
    assert encode_message(message, form) == (body, content_type)


@pytest.mark.parametrize(("message", "form"), [({"a": 1}, "text"), ({"a": 1}, "bytes"), ({"base64": "?"}, "auto")])
def test_message_of_another_form_is_refused(message: Any, form: Any) -> None:
    with pytest.raises(ValueError):
        encode_message(message, form)


@pytest.mark.parametrize(
    ("body", "content_type", "form", "data"),
    [
        (b'{"a":1}', JSON, "auto", {"a": 1}),
        (b'{"a":1}', "application/cloudevents+json", "auto", {"a": 1}),
        (b' {"a":1}', None, "auto", {"a": 1}),
        (b"12", None, "auto", "12"),
        (b'{"a":1}', "text/plain", "auto", '{"a":1}'),
        (b'{"a":1}', "text/plain", "json", {"a": 1}),
        (b'{"a":1}', JSON, "text", '{"a":1}'),
        (b"ab", BYTES, "auto", {"base64": "YWI="}),
        (b"ab", JSON, "bytes", {"base64": "YWI="}),
        (b"", None, "auto", ""),
        # What is not what it claims to be is received all the same.
        (b"{broken", JSON, "auto", "{broken"),
        (b"\xff{", JSON, "json", {"base64": "/3s="}),
        (b"[" * 5000, None, "auto", "[" * 5000),
        (b"\xff", "text/plain", "text", {"base64": "/w=="}),
    ],
)
def test_body_is_decoded_whatever_it_is(body: bytes, content_type: str | None, form: Any, data: Any) -> None:
    assert decode_message(body, content_type, form) == data
