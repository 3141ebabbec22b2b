"""Small texts that would grow: archives, JSON, YAML, regular expressions. Each is refused or read within bounds."""

from __future__ import annotations

import contextlib
import io
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.datastructures import Headers

from api.hooks.rules import check_rules
from engine.dag.document import read_document
from engine.dag.input_schema import schema_issues
from engine.dag.inputs import check_form
from engine.errors import AccessDenied, ValidationFailed
from engine.nodes.json_text import parse_json
from engine.nodes.storage.archives import ArchiveTooLarge, BadArchive, unpack
from engine.nodes.trigger.webhook import WebhookParams
from tests.security.corpora import texts

MAX_BYTES = 2_000_000
GENEROUS_S = 10.0  # of the processor; what backtracks takes years


def processor_s(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


# ---- archives


def zipped(entries: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return buffer.getvalue()


def overlapping(copies: int) -> bytes:
    """Many names for one packed kernel, as in "A better zip bomb" (Fifield, 2019)."""
    kernel = b"\0" * 150_000
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(kernel) + packer.flush()
    crc = zlib.crc32(kernel)
    sizes = struct.pack("<LLL", crc, len(packed), len(kernel))
    local = b"PK\x03\x04" + struct.pack("<HHHHH", 20, 0, 8, 0, 33) + sizes + struct.pack("<HH", 1, 0) + b"a" + packed
    central = b"".join(
        b"PK\x01\x02" + struct.pack("<HHHHHH", 20, 20, 0, 8, 0, 33) + sizes
        + struct.pack("<HHHHHLL", len(name), 0, 0, 0, 0, 0, 0) + name
        for name in (f"{number:05}".encode() for number in range(copies))
    )  # fmt: skip
    end = b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, copies, copies, len(central), len(local), 0)
    return local + central + end


def claiming(size: int) -> bytes:
    data = zipped([("a", bytes(1_500_000)), ("b", bytes(1_500_000))])
    return data.replace(struct.pack("<L", 1_500_000), struct.pack("<L", size))


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "zeros": lambda: zipped([("a", bytes(10_000_000))]),
    "zeros by bzip2": lambda: zipped([("a", bytes(4_000_000))], zipfile.ZIP_BZIP2),
    "zeros by LZMA": lambda: zipped([("a", bytes(4_000_000))], zipfile.ZIP_LZMA),
    "many that are small each": lambda: zipped([(f"f{number}", bytes(900_000)) for number in range(20)]),
    "overlapping names": lambda: overlapping(2000),
    "sizes that are a lie": lambda: claiming(7),
    "sizes that are a greater lie": lambda: claiming(2**31),
    "a directory that points nowhere": lambda: zipped([("a", b"x")])[:-6] + struct.pack("<LH", 2**31, 0),
    "empty": lambda: b"",
    "only an end": lambda: b"PK\x05\x06" + b"\xff" * 18,
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_is_measured_as_it_is_unpacked(kind: str) -> None:
    data = ARCHIVES[kind]()
    with pytest.raises((ArchiveTooLarge, BadArchive)):
        unpack(data, encoding="utf-8", max_bytes=MAX_BYTES)


def test_an_archive_within_an_archive_stays_packed() -> None:
    inner = zipped([("zeros", bytes(900_000))])
    (member,) = unpack(zipped([("inner.zip", inner)], zipfile.ZIP_STORED), encoding="utf-8", max_bytes=MAX_BYTES)
    assert member.data == inner


# ---- JSON and YAML

DEEP = 100_000
JSON_BOMBS = {
    "lists in lists": "[" * DEEP + "]" * DEEP,
    "lists without an end": "[" * DEEP,
    "objects in objects": '{"a":' * DEEP + "1" + "}" * DEEP,
    "objects without an end": '{"a":' * DEEP,
    "lists in objects in lists": '[{"a":' * (DEEP // 2) + "1" + "}]" * (DEEP // 2),
    "just too deep": "[" * 102 + "]" * 102,
    "not a number": "[NaN]",
    "infinity": "[-Infinity]",
    "half a pair": '["\\ud800"]',
    "two values": "{} {}",
    "a comment": "[1 /* x */]",
    "a NUL": "[1\x00]",
    "cut off": '{"a": "',
}


@pytest.mark.parametrize("kind", JSON_BOMBS)
def test_json_from_outside_is_refused_before_it_breaks_its_reader(kind: str) -> None:
    with pytest.raises(ValueError, match=r"JSON"):
        parse_json(JSON_BOMBS[kind])
    with pytest.raises(ValidationFailed):
        read_document(JSON_BOMBS[kind].encode(), name="w.json")


def _aliases(levels: int) -> str:
    more = [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, levels)]
    return "\n".join(["a0: &a0 [x, x, x, x, x, x, x, x, x, x]", *more])


YAML_BOMBS = {
    "a billion laughs": _aliases(10),
    "an alias to itself": "a: &a [*a]",
    "flow lists": "[" * 20_000,
    "flow mappings": "{a: " * 20_000,
    "indents": "\n".join(" " * depth + "a:" for depth in range(2000)),
    "a Python object": "a: !!python/object/apply:os.system [id]",
    "a Python name": "a: !!python/name:os.system",
    "a tag of its own": "a: !x 1",
    "a binary": "a: !!binary aGVsbG8=",
    "several documents": "a: 1\n---\nb: 2\n...\n---\n!!python/object/new:os.system [id]",
    "a set": "a: !!set {x, y}",
    "a merge of itself": "a: &a {<<: *a}",
    "keys that are lists": "? [a, b]\n: 1",
}


@pytest.mark.parametrize("kind", YAML_BOMBS)
def test_yaml_is_data_of_a_bounded_size_or_refused(kind: str) -> None:
    def read() -> None:
        with pytest.raises(ValidationFailed):
            read_document(YAML_BOMBS[kind].encode(), name="w.yaml")

    assert processor_s(read) < GENEROUS_S


def test_merges_of_merges_take_bounded_time() -> None:
    text = "a: &a {x: 1}\n" + "\n".join(f"b{n}: {{<<: [{'*a, ' * 200}*a]}}" for n in range(200))
    assert processor_s(lambda: read_document(text.encode(), name="w.yaml")) < GENEROUS_S


# ---- regular expressions

PATTERNS = texts("regexes.txt")
BAIT = "a" * 5_000 + "!"


def test_corpus_of_patterns_is_large_enough() -> None:
    assert len(PATTERNS) >= 40


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_of_a_schema_is_refused_or_takes_linear_time(pattern: str) -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"x": {"type": "string", "pattern": pattern}}}
    if schema_issues(schema, ""):
        return

    def check() -> None:
        with contextlib.suppress(ValidationFailed):
            check_form(schema, {"x": BAIT})

    assert processor_s(check) < GENEROUS_S


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_of_a_webhooks_header_is_refused_or_takes_linear_time(pattern: str) -> None:
    try:
        params = WebhookParams.model_validate({"path": "x", "headers": {"x-a": {"pattern": pattern}}})
    except ValidationError:
        return

    def check() -> None:
        with contextlib.suppress(AccessDenied):
            check_rules(params, Headers({"x-a": BAIT}))

    assert processor_s(check) < GENEROUS_S


def test_some_patterns_are_refused_and_others_kept() -> None:
    refused = [pattern for pattern in PATTERNS if schema_issues({"type": "string", "pattern": pattern}, "")]
    assert 12 <= len(refused) <= len(PATTERNS) - 12
