"""The model port that nodes call: a model by its name, a place in its limits, room in the budgets, a call, a price."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Protocol, TypeVar, cast
from uuid import UUID

from engine.activities.clients.rate_limits import RateLimit, RateLimits
from engine.activities.generation.budgeting import SPARE_S, Ledger
from engine.activities.generation.catalogue import KnownModel, ModelCatalogue
from engine.activities.generation.estimates import USUAL_OUTPUT_TOKENS, AnyRequest, cost_of, estimate_of
from engine.errors import BUDGET_EXCEEDED, EXTERNAL_ERROR, RATE_LIMITED, NodeError
from engine.nodes.context import Credential
from engine.nodes.generation.defaults import apply_defaults
from engine.nodes.generation.port import (
    Call,
    EmbeddingRequest,
    Embeddings,
    Generation,
    GenerationRequest,
    ImageRequest,
    Images,
    ModelConnection,
    Provider,
    Usage,
)
from engine.nodes.generation.tokens import estimated_input_tokens, estimated_tokens
from engine.telemetry import metrics
from models.repositories.ai_calls import Settlement
from models.repositories.ai_models import ModelFields
from models.tenancy import TenantId, mint_tenant

SHORTEST_CALL_S = 1.0
_Answer = TypeVar("_Answer", Generation, Images, Embeddings)


class Providers(Protocol):
    """Providers by name; `engine.activities.clients.ai.registry.AiProviders` is the real one."""

    async def get(self, name: str) -> Provider: ...


class Credentials(Protocol):
    """A tenant's credentials by name, or with no tenant the operator's alone."""

    async def get(self, tenant: TenantId | None, name: str) -> Credential: ...


class Models:
    """`engine.nodes.generation.port.ModelPort` for all tenants of one worker process."""

    def __init__(
        self,
        catalogue: ModelCatalogue,
        ledger: Ledger,
        limits: RateLimits,
        providers: Providers,
        credentials: Credentials,
    ) -> None:
        self._catalogue = catalogue
        self._ledger = ledger
        self._limits = limits
        self._providers = providers
        self._credentials = credentials

    async def generate(self, call: Call, request: GenerationRequest) -> Generation:
        return await self._run(call, request, lambda provider, *given: provider.generate(*given))

    async def images(self, call: Call, request: ImageRequest) -> Images:
        return await self._run(call, request, lambda provider, *given: provider.images(*given))

    async def embed(self, call: Call, request: EmbeddingRequest) -> Embeddings:
        return await self._run(call, request, lambda provider, *given: provider.embed(*given))

    async def close(self, *, timeout_s: float = 5) -> None:
        """Let what is still to be written to the ledger be written, for `timeout_s` at most."""
        await self._ledger.close(timeout_s=timeout_s)
        await self._limits.close()

    async def _run(self, call: Call, request: AnyRequest, ask: Callable[..., Awaitable[_Answer]]) -> _Answer:
        """Call the model, or where that is allowed the first of its fallbacks for which there is room."""
        tenant = mint_tenant(call.tenant)
        first = await self._catalogue.get(tenant, call.model)
        one = _One(self._ledger, self._limits, tenant, call)
        try:
            return await self._ask(one, first, request, ask)
        except NodeError as error:
            if not _falls_back(error, call, first.fields):
                raise
            refused = error
        tried: list[str] = []
        for name in first.fields.fallback:
            model = await self._catalogue.find(tenant, name)
            if model is None or not model.fields.enabled:
                continue
            tried.append(name)
            try:
                return await self._ask(one, model, request, ask)
            except NodeError as error:
                if not _falls_back(error, call, first.fields):
                    raise
        refused.details = {**refused.details, "fallbacks": tried}
        raise refused

    async def _ask(
        self, one: _One, model: KnownModel, request: AnyRequest, ask: Callable[..., Awaitable[_Answer]]
    ) -> _Answer:
        provider = await self._providers.get(model.fields.provider)
        filled = apply_defaults(cast("Any", request), model.fields.defaults)
        connection = await self._connection(one, model)
        return await one.ask(model.fields, provider, connection, filled, ask)

    async def _connection(self, one: _One, model: KnownModel) -> ModelConnection:
        fields = model.fields
        credential: Any = one.call.credential
        if credential is None and fields.credential is not None:
            # The operator's models use the operator's credentials, whatever a tenant calls its own.
            credential = await self._credentials.get(None if model.trusted else one.tenant, fields.credential)
        return ModelConnection(
            provider=fields.provider,
            model=fields.model,
            base_url=fields.base_url,
            credential=credential,
            trusted=model.trusted,
            options=fields.defaults.get("options", {}),
        )


class _One:
    """One call of a node, to whichever model."""

    def __init__(self, ledger: Ledger, limits: RateLimits, tenant: TenantId, call: Call) -> None:
        self._ledger = ledger
        self._limits = limits
        self.tenant = tenant
        self.call = call

    async def ask(
        self,
        model: ModelFields,
        provider: Provider,
        connection: ModelConnection,
        request: Any,
        ask: Callable[..., Awaitable[_Answer]],
    ) -> _Answer:
        estimate = estimate_of(request, model, provider.most_texts)
        timeout_s, began = request.timeout_s, time.monotonic()
        async with self._limits.slot(
            _limit_of(self.tenant, model),
            tokens=estimate.tokens,
            requests=estimate.requests,
            wait_s=timeout_s / 2,
            lease_s=timeout_s + SPARE_S,
        ):
            # After the limits: a call that waits for its turn must not keep room that others could use.
            call_id, bounded = await self._ledger.reserve(self.tenant, self.call, model, estimate, timeout_s)
            left_s = max(SHORTEST_CALL_S, timeout_s - (time.monotonic() - began))
            request = replace(_held(request, bounded=bounded), timeout_s=left_s)
            return await self._paid(model, call_id, request, lambda given: ask(provider, connection, given))

    async def _paid(
        self, model: ModelFields, call_id: UUID, request: Any, ask: Callable[[Any], Awaitable[_Answer]]
    ) -> _Answer:
        """Make the call and write down what came of it."""
        seen = _Seen(request)
        try:
            answer = await ask(seen.request)
        except NodeError as error:
            await self._fail(model, call_id, error.code, seen.usage)
            raise
        except BaseException:
            self._ledger.soon(self._fail(model, call_id, "CANCELLED", seen.usage))
            raise
        images = len(answer.pictures) if isinstance(answer, Images) else 0
        usage = replace(answer.usage, cost=cost_of(answer.usage, model, images))
        settled = Settlement(usage.input_tokens, usage.output_tokens, usage.cost, images)
        await self._ledger.settle(self.tenant, call_id, settled)
        cost = None if usage.cost is None else float(usage.cost)
        metrics.ai_call(model.provider, "success", usage.input_tokens, usage.output_tokens, cost)
        return replace(answer, usage=usage, model=model.name, provider=model.provider)

    async def _fail(self, model: ModelFields, call_id: UUID, code: str, usage: Usage | None) -> None:
        if usage is None:
            metrics.ai_call(model.provider, code)
            await self._ledger.release(self.tenant, call_id, code)
            return
        cost = cost_of(usage, model)
        spent = None if cost is None else float(cost)
        metrics.ai_call(model.provider, code, usage.input_tokens, usage.output_tokens, spent)
        real = Settlement(usage.input_tokens, usage.output_tokens, cost, error_code=code)
        await self._ledger.settle(self.tenant, call_id, real)


class _Seen:
    """Counts the text that comes before a call breaks off: it is paid for all the same."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._texts: list[str] = []
        self._watch = request.on_partial if isinstance(request, GenerationRequest) else None
        self.request = request if self._watch is None else replace(request, on_partial=self._see)

    @property
    def usage(self) -> Usage | None:
        """About what a call that broke off has used; None if nothing came."""
        if not self._texts:
            return None
        return Usage(estimated_input_tokens(self._request), estimated_tokens(["".join(self._texts)]))

    def _see(self, text: str) -> None:
        self._texts.append(text)
        if self._watch is not None:
            self._watch(text)


def _held(request: Any, *, bounded: bool) -> Any:
    """The request; where a budget applies, the answer is bounded to what was reserved for it."""
    if bounded and isinstance(request, GenerationRequest) and request.max_tokens is None:
        return replace(request, max_tokens=USUAL_OUTPUT_TOKENS)
    return request


def _limit_of(tenant: TenantId, model: ModelFields) -> RateLimit:
    return RateLimit(
        f"{tenant}:{model.name}",
        requests_per_minute=model.requests_per_minute,
        tokens_per_minute=model.tokens_per_minute,
        concurrency=model.concurrency,
    )


def _falls_back(error: NodeError, call: Call, model: ModelFields) -> bool:
    if error.code == BUDGET_EXCEEDED:
        return call.on_budget == "fallback" and "budget" in model.fallback_on
    return error.code in (RATE_LIMITED, EXTERNAL_ERROR) and "error" in model.fallback_on
