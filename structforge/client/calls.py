"""One description of a call, from which both clients make their method. No I/O.

    class Routes:
        @call
        def get_thing(self, thing_id: Id) -> Call[Thing]: ...

Of a `Client`, `get_thing(id)` gives a Thing; of an `AsyncClient`, it gives a coroutine of one. A `@listing` gives a
page when it is called, and everything there is, page after page, by `.all(...)`.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum
from functools import cache
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx2
from pydantic import BaseModel, TypeAdapter
from pydantic_core import to_json

from structforge.client.shapes import Page
from structforge.client.unset import given

P = ParamSpec("P")
Reply = TypeVar("Reply")
Item = TypeVar("Item")
Id = UUID | str
IDEMPOTENCY_KEY = "Idempotency-Key"


@dataclass(frozen=True, slots=True)
class Call(Generic[Reply]):
    """One request and the type of its reply.

    `params`, `headers` and `body` may hold UNSET, which is left out; `raw` is a body of another type than JSON, with
    that type. `extra_s` is how long the server may wait before
    it answers. `accepts` are statuses beyond 2xx whose body is a reply too.
    """

    method: str
    path: str
    reply: type[Reply]
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    headers: Mapping[str, Any] = field(default_factory=dict[str, Any])
    body: Any = None
    raw: tuple[str, bytes] | None = None
    accepts: tuple[int, ...] = ()
    extra_s: float = 0

    @property
    def is_repeatable(self) -> bool:
        """Whether sending it twice does no more than sending it once."""
        return self.method in ("GET", "PUT", "DELETE") or IDEMPOTENCY_KEY in self.headers

    def arguments(self, timeout_s: float) -> dict[str, Any]:
        """Arguments of httpx2's `request`."""
        headers = {name: str(value) for name, value in given(self.headers).items()}
        params = {name: _query(value) for name, value in given(self.params).items() if value is not None}
        found: dict[str, Any] = {"method": self.method, "url": self.path, "params": params, "headers": headers}
        found["timeout"] = timeout_s + self.extra_s
        if self.raw is not None:
            headers["Content-Type"], found["content"] = self.raw
        elif self.body is not None:
            found["content"] = to_json(_plain(self.body))
            headers["Content-Type"] = "application/json"
        return found

    def read(self, response: httpx2.Response) -> Reply:
        """The reply in the body of an answer."""
        if self.reply is type(None):
            return cast("Reply", None)
        if self.reply is bytes:
            return cast("Reply", response.content)
        return _adapter(self.reply).validate_json(response.content)


class Sends(Protocol):
    """A synchronous client."""

    def send(self, call: Call[Reply], /) -> Reply: ...


class SendsAsync(Protocol):
    """An asynchronous client."""

    def send(self, call: Call[Reply], /) -> Coroutine[Any, Any, Reply]: ...


class Listing(Generic[P, Item]):
    """A list of a synchronous client."""

    def __init__(self, one: Callable[..., Page[Item]]) -> None:
        self._one = one

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Page[Item]:
        return self._one(*args, **kwargs)

    def all(self, *args: P.args, **kwargs: P.kwargs) -> Iterator[Item]:
        """Every item, in order; the next page is fetched when the one before is used up."""
        more = dict(kwargs)
        while True:
            page = self._one(*args, **more)
            yield from page.items
            if page.next is None:
                return
            more["cursor"] = page.next


class AsyncListing(Generic[P, Item]):
    """A list of an asynchronous client."""

    def __init__(self, one: Callable[..., Coroutine[Any, Any, Page[Item]]]) -> None:
        self._one = one

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, Page[Item]]:
        return self._one(*args, **kwargs)

    async def all(self, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Item]:
        """Every item, in order; the next page is fetched when the one before is used up."""
        more = dict(kwargs)
        while True:
            page = await self._one(*args, **more)
            for item in page.items:
                yield item
            if page.next is None:
                return
            more["cursor"] = page.next


class Method(Generic[P, Reply]):
    """A described call as a method of either client."""

    def __init__(self, build: Callable[Concatenate[Any, P], Call[Reply]]) -> None:
        self._build = build
        functools.update_wrapper(cast("Any", self), build)

    @overload
    def __get__(self, instance: None, owner: type) -> Method[P, Reply]: ...
    @overload
    def __get__(self, instance: Sends, owner: type) -> Callable[P, Reply]: ...
    @overload
    def __get__(self, instance: SendsAsync, owner: type) -> Callable[P, Coroutine[Any, Any, Reply]]: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else _bound(instance, self._build)


class ListMethod(Generic[P, Item]):
    """A described list as a member of either client."""

    def __init__(self, build: Callable[Concatenate[Any, P], Call[Page[Item]]]) -> None:
        self._build = build
        functools.update_wrapper(cast("Any", self), build)

    @overload
    def __get__(self, instance: None, owner: type) -> ListMethod[P, Item]: ...
    @overload
    def __get__(self, instance: Sends, owner: type) -> Listing[P, Item]: ...
    @overload
    def __get__(self, instance: SendsAsync, owner: type) -> AsyncListing[P, Item]: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        one = _bound(instance, self._build)
        kind: Any = AsyncListing if instance.is_async else Listing
        return functools.update_wrapper(kind(one), self._build)


call = Method
listing = ListMethod


def _bound(instance: Any, build: Callable[..., Call[Any]]) -> Callable[..., Any]:
    @functools.wraps(build)
    def send(*args: Any, **kwargs: Any) -> Any:
        return instance.send(build(instance, *args, **kwargs))

    return send


def part(value: object) -> str:
    """A value as one part of a path."""
    return quote(str(value), safe="")


def key(value: str | None) -> str:
    """The idempotency key that was given, or a fresh one, so that the call may be repeated."""
    return value if value is not None else str(uuid4())


@cache
def _adapter(reply: type[Reply]) -> TypeAdapter[Reply]:
    return TypeAdapter(reply)


def _query(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, list | tuple | set | frozenset):
        return [_query(item) for item in cast("list[Any]", value)]
    return str(value.value if isinstance(value, Enum) else value)


def _plain(value: Any) -> Any:
    """Models as what was set of them, and no UNSET anywhere."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(value, Mapping):
        return {name: _plain(member) for name, member in given(cast("Mapping[str, Any]", value)).items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("list[Any]", value)]
    return value
