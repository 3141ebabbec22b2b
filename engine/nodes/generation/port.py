"""The border between AI nodes, the model port that they call, and the providers behind it.

A node calls `context.ports.models` (`ModelPort`) by the name of a model. The port looks the model up, reserves budget,
waits for the rate limit, calls the one `Provider` that the model names, and settles. A provider knows no tenants, no
budgets and no rows: it is given a `ModelConnection` and a request, and makes one answer of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, Protocol

Role = Literal["user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "other"]
OnBudget = Literal["fail", "fallback", "approve"]
OnPartial = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one or several calls. `cost` is in the model's currency, None as long as nobody priced it.

    A provider leaves `cost` None; the model port prices it.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = None

    def __add__(self, other: Usage) -> Usage:
        costs = [cost for cost in (self.cost, other.cost) if cost is not None]
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            sum(costs, Decimal()) if costs else None,
        )


@dataclass(frozen=True, slots=True)
class Picture:
    """An image: its bytes and their content type, such as image/png."""

    data: bytes = field(repr=False)
    content_type: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model wants called.

    `arguments` is an object, or the text as it came if that was no JSON. `signature` is what some providers want back
    with the call in the next turn.
    """

    id: str
    name: str
    arguments: Any
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may ask for; `parameters` is the JSON Schema of its arguments, an object."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `parts` are texts and pictures in order; `tool_call_id` (and `name`) say what a tool's turn answers."""

    role: Role
    parts: Sequence[str | Picture] = ()
    tool_calls: Sequence[ToolCall] = ()
    tool_call_id: str | None = None
    name: str | None = None

    @property
    def text(self) -> str:
        return "".join(part for part in self.parts if isinstance(part, str))

    @property
    def pictures(self) -> list[Picture]:
        return [part for part in self.parts if isinstance(part, Picture)]


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """Text for messages. None leaves a choice to the model's defaults, and then to the provider.

    `schema` is the JSON Schema that the answer must have; the provider is told of it, the node checks it.
    `timeout_s` bounds the whole call. `on_partial` receives each new piece of text as it arrives and never waits.
    `idempotency_key` names this one call, for providers that replay the answer of a call they have had.
    """

    messages: Sequence[Message]
    system: str = ""
    tools: Sequence[Tool] = ()
    tool_choice: Literal["auto", "none", "required"] = "auto"
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: Sequence[str] = ()
    schema: dict[str, Any] | None = None
    timeout_s: float = 60.0
    on_partial: OnPartial | None = None
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True)
class Generation:
    """An answer. `model` and `provider` say who gave it: a provider fills in its connection's, the model port puts the
    name of the model's row into `model`, which is another one than asked for after a fallback."""

    text: str
    tool_calls: Sequence[ToolCall] = ()
    finish_reason: FinishReason = "stop"
    usage: Usage = Usage()
    model: str = ""
    provider: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """`count` pictures for a prompt. `size` is such as 1024x1024, `quality` the provider's word for it."""

    prompt: str
    size: str | None = None
    quality: str | None = None
    count: int = 1
    timeout_s: float = 120.0
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True)
class Images:
    """Pictures with their bytes, in order; `model` and `provider` as for `Generation`."""

    pictures: Sequence[Picture]
    usage: Usage = Usage()
    model: str = ""
    provider: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRequest:
    """Vectors for texts. A provider sends as many calls as its batch limit (`most_texts`) makes of them."""

    texts: Sequence[str]
    dimensions: int | None = None
    timeout_s: float = 60.0
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector for each text, in the order of the texts; `model` and `provider` as for `Generation`."""

    vectors: Sequence[list[float]]
    usage: Usage = Usage()
    model: str = ""
    provider: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Who calls, for budgets and the ledger. `model` is the name of a model's row.

    `ask` counts the calls of one attempt (0, then one more for each time an answer is asked for again), so tenant,
    execution, node path, iteration, generation, attempt and ask together name one call.
    `credential` is the node's own, resolved; None takes the row's.
    """

    tenant: str
    execution_id: str
    workflow_id: str
    node_path: str
    iteration: tuple[int, ...]
    generation: int
    attempt: int
    model: str
    ask: int = 0
    on_budget: OnBudget = "fail"
    credential: Mapping[str, Any] | None = field(default=None, repr=False)
    budget: Mapping[str, Any] | None = None  # of the execution: `tokens`, `cost`
    budgets_above: Sequence[tuple[str, Mapping[str, Any]]] = ()  # of executions that called it, with their ids
    budget_approved: bool = False  # somebody lets this node pass the budgets


class ModelPort(Protocol):
    """What nodes see as `context.ports.models`.

    All raise NodeError: INVALID_CONFIG for a model that is not there, BUDGET_EXCEEDED, RATE_LIMITED, and what the
    provider raises.
    """

    async def generate(self, call: Call, request: GenerationRequest) -> Generation: ...

    async def images(self, call: Call, request: ImageRequest) -> Images: ...

    async def embed(self, call: Call, request: EmbeddingRequest) -> Embeddings: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConnection:
    """How a provider reaches one model. `model` is the provider's name for it, `base_url` None the provider's own.

    `credential` is resolved; its `allowed_hosts` are checked against the host before anything is sent. Where `trusted`
    is not True (the operator did not write `base_url`), the address passes the guard against internal addresses.
    `options` are added to the provider's request as they are.
    """

    provider: str
    model: str
    base_url: str | None = None
    credential: Mapping[str, Any] | None = field(default=None, repr=False)
    trusted: bool = False
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Provider(Protocol):
    """One adapter. It makes one try and never repeats a call: the engine alone decides about that.

    All raise NodeError: ACCESS_DENIED, RATE_LIMITED (with `retry_after_s` if the provider named a time), TIMEOUT,
    EXTERNAL_ERROR, INVALID_CONFIG, BLOCKED_ADDRESS; never with a secret in it.
    """

    @property
    def name(self) -> str:
        """What a model's row says under `provider`."""
        ...

    @property
    def most_texts(self) -> int:
        """Texts that one embedding call may carry; n texts make ceil(n / most_texts) calls."""
        ...

    async def generate(self, connection: ModelConnection, request: GenerationRequest) -> Generation: ...

    async def images(self, connection: ModelConnection, request: ImageRequest) -> Images: ...

    async def embed(self, connection: ModelConnection, request: EmbeddingRequest) -> Embeddings: ...
