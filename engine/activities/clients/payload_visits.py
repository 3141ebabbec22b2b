"""Sparing the visits of payloads that change nothing.

The SDK offers every payload of every workflow task to a codec and to external storage, in three passes of coroutines
that it makes even where neither is configured, as here (`docs/decisions/0006`): a fifth of a worker's time in graphs of
many activities. `spare_idle_visits` makes it do so only where one of them is.
"""

from __future__ import annotations

from typing import Any

import temporalio.bridge.worker
from temporalio.converter import DataConverter
from temporalio.converter._extstore import StorageOperationMetrics

_visit_activation: Any = temporalio.bridge.worker.decode_activation
_visit_completion: Any = temporalio.bridge.worker.encode_completion


def spare_idle_visits() -> None:
    """Change it for every worker of this process; the SDK looks both functions up by name at each task."""
    temporalio.bridge.worker.decode_activation = _decode_activation
    temporalio.bridge.worker.encode_completion = _encode_completion


async def _decode_activation(activation: Any, data_converter: DataConverter, *args: Any, **options: Any) -> Any:
    if _has_visitors(data_converter):
        return await _visit_activation(activation, data_converter, *args, **options)
    return StorageOperationMetrics()


async def _encode_completion(completion: Any, data_converter: DataConverter, *args: Any, **options: Any) -> Any:
    if _has_visitors(data_converter):
        return await _visit_completion(completion, data_converter, *args, **options)
    return StorageOperationMetrics()


def _has_visitors(data_converter: DataConverter) -> bool:
    return data_converter.payload_codec is not None or data_converter.external_storage is not None
