"""Asking a model until its answer is what was asked for, within a bound of calls and the attempt's time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from engine.errors import INVALID_ANSWER, INVALID_CONFIG, TIMEOUT, NodeError
from engine.nodes.context import NodeContext, unseen
from engine.nodes.generation.answers import check_schema, faults_of, read_answer
from engine.nodes.generation.params import ModelParams, usage_output
from engine.nodes.generation.port import (
    Call,
    Generation,
    GenerationRequest,
    Message,
    ModelPort,
    OnPartial,
    Tool,
    ToolCall,
    Usage,
)
from engine.nodes.ports import required

_SHOWN_ANSWER_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class Asked:
    """A valid answer. `data` is what it holds where a schema was given; `usage` is that of all calls together."""

    generation: Generation
    data: Any
    usage: Usage


@dataclass(slots=True)
class Attempt:
    """The calls of one attempt of a node execution: who makes them, and how long is left."""

    context: NodeContext
    params: ModelParams
    started_s: float = field(default_factory=time.monotonic)

    @property
    def models(self) -> ModelPort:
        return required(self.context.ports.models, "AI models")

    def call(self, ask: int = 0) -> Call:
        context = self.context
        return Call(
            tenant=context.tenant,
            execution_id=context.execution_id,
            workflow_id=context.workflow_id,
            node_path=context.node_path,
            iteration=context.iteration,
            generation=context.generation,
            attempt=context.attempt,
            model=self.params.model,
            ask=ask,
            on_budget=self.params.on_budget,
            credential=context.credential,
            budget=context.budget,
            budgets_above=context.budgets_above,
            budget_approved=context.budget_approved,
        )

    @property
    def on_partial(self) -> OnPartial | None:
        """Who watches the text as it comes; answers are streamed for somebody alone."""
        sink = self.context.partial_sink
        return None if sink is unseen else sink

    def key(self, ask: int = 0) -> str:
        """Names one call: the same if this very attempt is made again after a lost worker."""
        known = self.context.idempotency_key
        return f"{known}:{self.context.attempt}:{ask}" if known else ""

    def left_s(self) -> float:
        """Seconds until this attempt ends itself.

        Raises: NodeError TIMEOUT if there are none.
        """
        left_s = self.context.own_deadline_s - (time.monotonic() - self.started_s)
        if left_s <= 0:
            message = f"the model's answers took the whole timeout of {self.context.deadline_s:g} s"
            raise NodeError(message, code=TIMEOUT, retryable=True)
        return left_s


async def ask(attempt: Attempt, request: GenerationRequest, max_reasks: int) -> Asked:
    """A valid answer; an invalid one is shown to the model with its faults, at most `max_reasks` times.

    Raises: NodeError INVALID_ANSWER if none is valid or the last one was cut off, INVALID_CONFIG for a schema that
    cannot be checked, and what the model port raises.
    """
    _check_schemas(request)
    request = replace(request, on_partial=attempt.on_partial)
    usage = Usage()
    faults: list[str] = []
    for number in range(max_reasks + 1):
        sent = replace(request, timeout_s=attempt.left_s(), idempotency_key=attempt.key(number))
        generation = await attempt.models.generate(attempt.call(number), sent)
        usage += generation.usage
        faults, data = await _read(request, generation)
        if not faults:
            return Asked(generation, data, usage)
        if generation.finish_reason == "length":
            raise _cut_off(request, usage)
        attempt.context.log("warning", "the model's answer is invalid", ask=number, faults=len(faults))
        request = _corrected(request, generation, faults)
    calls = f"{max_reasks + 1} calls" if max_reasks else "one call"
    raise NodeError(
        f"the model gave no valid answer in {calls}; the last fault: {faults[0]}",
        code=INVALID_ANSWER,
        details={"faults": faults, "calls": max_reasks + 1, "usage": usage_output(usage)},
        retryable=True,
    )


def _check_schemas(request: GenerationRequest) -> None:
    if request.schema is not None:
        check_schema(request.schema, "response_schema")
    names = [tool.name for tool in request.tools]
    if len(set(names)) < len(names):
        raise NodeError("two tools have the same name", code=INVALID_CONFIG)
    for tool in request.tools:
        check_schema(tool.parameters, "tools")


async def _read(request: GenerationRequest, generation: Generation) -> tuple[list[str], Any]:
    """What is wrong with an answer, and the data that it holds."""
    if generation.tool_calls:
        return await _call_faults(request.tools, generation.tool_calls), None
    if request.tools and request.tool_choice == "required":
        return ["no tool is called, and one must be"], None
    if request.schema is None:
        return [], None
    try:
        data = read_answer(generation.text)
    except (ValueError, RecursionError) as error:
        return [str(error)], None
    return await faults_of(request.schema, data), data


async def _call_faults(tools: Sequence[Tool], calls: Sequence[ToolCall]) -> list[str]:
    known = {tool.name: tool for tool in tools}
    faults: list[str] = []
    for call in calls:
        tool = known.get(call.name)
        if tool is None:
            faults.append(f"there is no tool {call.name[:60]!r}")
        elif not isinstance(call.arguments, dict):
            faults.append(f"the arguments of the call of {call.name} are no JSON object")
        else:
            found = await faults_of(tool.parameters, cast("dict[str, Any]", call.arguments))
            faults += [f"in the call of {call.name}, {fault.replace('answer', 'arguments', 1)}" for fault in found]
    return faults


def _corrected(request: GenerationRequest, generation: Generation, faults: list[str]) -> GenerationRequest:
    """The request with the invalid answer and what is wrong with it as further turns."""
    turns = [Message("user", (_correction(faults, called=bool(generation.tool_calls)),))]
    if generation.text.strip():
        turns.insert(0, Message("assistant", (generation.text[:_SHOWN_ANSWER_CHARS],)))
    return replace(request, messages=[*request.messages, *turns])


def _correction(faults: list[str], *, called: bool) -> str:
    wanted = "Call the tool again" if called else "Answer again, with the whole corrected answer alone"
    return "Your last answer is not valid:\n" + "\n".join(f"- {fault}" for fault in faults) + f"\n{wanted}."


def _cut_off(request: GenerationRequest, usage: Usage) -> NodeError:
    limit = "the model's own limit" if request.max_tokens is None else f"max_tokens ({request.max_tokens})"
    return NodeError(
        f"the answer was cut off by {limit} before it was whole: raise max_tokens, or ask for less",
        code=INVALID_ANSWER,
        details={"finish_reason": "length", "usage": usage_output(usage)},
    )
