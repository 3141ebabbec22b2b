"""From a document to YAML text that `read_yaml` reads back as the same data."""

from __future__ import annotations

import re
from typing import Any

import yaml

from engine.dag.yaml_tree import is_plain_text

_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_LINE_LENGTH = 120
_BLOCK = re.compile(r"\A[^\s\ufeff].*\n.*\Z", re.DOTALL)


class _DocumentDumper(_Dumper):
    """YAML's dumper, without anchors and with quotes around what a reader would take for something else than text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _write_text(dumper: Any, text: str) -> Any:
    if "\n" in text and _BLOCK.match(text):
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")
    style = None if is_plain_text(text) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _write_float(dumper: Any, number: float) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:float", repr(number))


_DocumentDumper.add_representer(str, _write_text)
_DocumentDumper.add_representer(float, _write_float)


def write_yaml(document: Any) -> str:
    """The text of one document, keys in their order. `document` is data as JSON has it, without NaN and infinity."""
    return yaml.dump(
        document, Dumper=_DocumentDumper, allow_unicode=True, sort_keys=False, width=_LINE_LENGTH, indent=2
    )
