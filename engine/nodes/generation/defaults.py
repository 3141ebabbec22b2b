"""What a model's row may preset for the requests that leave it open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from engine.nodes.generation.port import EmbeddingRequest, GenerationRequest, ImageRequest

_Request = TypeVar("_Request", GenerationRequest, ImageRequest, EmbeddingRequest)
_PRESETS = ("max_tokens", "temperature", "top_p", "seed", "stop", "size", "quality", "dimensions")
DEFAULTS = frozenset({*_PRESETS, "options"})  # `options` goes into `ModelConnection.options`


def apply_defaults(request: _Request, defaults: Mapping[str, Any]) -> _Request:
    """The request with what it leaves open (None, or no stop words) taken from `defaults`; other keys say nothing."""
    known = {item.name for item in fields(request)}
    missing = {
        name: defaults[name]
        for name in _PRESETS
        if name in known and defaults.get(name) is not None and getattr(request, name) in (None, (), [])
    }
    return replace(request, **missing)
