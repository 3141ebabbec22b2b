"""Payload visits are spared without a codec, still made with one, and the SDK still calls what was replaced."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any

import temporalio.bridge.worker
import temporalio.worker._workflow as sdk
from temporalio.api.common.v1 import Payload
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import DataConverter, PayloadCodec

from engine.activities.clients.payload_visits import spare_idle_visits


class Shouting(PayloadCodec):
    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [Payload(data=payload.data.upper()) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [Payload(data=payload.data.lower()) for payload in payloads]


def activation() -> WorkflowActivation:
    found = WorkflowActivation()
    found.jobs.add().initialize_workflow.arguments.add().data = b"Mixed"
    return found


def completion() -> WorkflowActivationCompletion:
    made = WorkflowActivationCompletion()
    made.successful.commands.add().schedule_activity.arguments.add().data = b"Mixed"
    return made


async def visited(converter: DataConverter) -> tuple[bytes, bytes]:
    spare_idle_visits()
    coming, going = activation(), completion()
    bridge: Any = temporalio.bridge.worker
    await bridge.decode_activation(coming, converter, decode_headers=False, storage_concurrency_limit=1)
    await bridge.encode_completion(going, converter, encode_headers=False, storage_concurrency_limit=1)
    arguments = going.successful.commands[0].schedule_activity.arguments
    return coming.jobs[0].initialize_workflow.arguments[0].data, arguments[0].data


async def test_without_a_codec_payloads_pass_untouched() -> None:
    assert await visited(DataConverter()) == (b"Mixed", b"Mixed")


async def test_a_codec_still_sees_every_payload() -> None:
    converter = dataclasses.replace(DataConverter(), payload_codec=Shouting())
    assert await visited(converter) == (b"mixed", b"MIXED")


def test_the_sdk_still_calls_these_functions_by_name() -> None:
    source = inspect.getsource(sdk)
    assert "temporalio.bridge.worker.decode_activation(" in source
    assert "temporalio.bridge.worker.encode_completion(" in source
