"""The object store: large node outputs, content-addressed under their tenant, in a folder or any S3 bucket."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections import OrderedDict
from collections.abc import AsyncGenerator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

import obstore
import orjson
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from engine.dag.values import Value, inline, stored
from engine.errors import EXPRESSION_ERROR, RESOURCE_EXHAUSTED, NodeError, NotFound, SystemFault
from engine.settings import Settings
from models.tenancy import TenantId

INLINE_LIMIT_BYTES = 32_768
CACHE_BYTES = 64 * 1024 * 1024
OFF_LOOP_BYTES = 256 * 1024
CHECKED = "readiness"  # no object has this name: that it is not there is an answer
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_OBJECT = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/[0-9a-f]{2}/([0-9a-f]{64})", re.ASCII)
_FULL = re.compile(r"os error (?:28|122|27)\b|No space left|QuotaExceeded|EntityTooLarge|StorageFull")
_JSON_ONLY = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


class ObjectStore:
    """Bytes by the SHA-256 of what they are. A write is atomic: an object is whole or not there."""

    def __init__(self, store: Any) -> None:
        self._store = store

    @classmethod
    def open(cls, url: str, **options: Any) -> ObjectStore:
        """`file:///folder` (made if missing), `s3://bucket/prefix`, `memory:///`; `options` go to the S3 client."""
        parts = urlsplit(url)
        if parts.scheme == "file":
            folder = Path(unquote(parts.path))
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            return cls(LocalStore(folder))
        return cls(from_url(url, **options))

    @classmethod
    def of(cls, settings: Settings) -> ObjectStore:
        """The one that the settings name, with their keys."""
        return cls.open(settings.objects_url, **settings.objects_options)

    async def check(self) -> None:
        """Raises: SystemFault if the store does not answer, or refuses these keys."""
        try:
            if isinstance(self._store, LocalStore):
                await asyncio.to_thread(_check_folder, self._store)
            else:
                await obstore.head_async(self._store, CHECKED)
        except FileNotFoundError:
            return  # an answer
        except (BaseError, OSError) as error:
            raise SystemFault(f"the object store does not answer: {error}") from error

    async def put(self, tenant: TenantId, data: bytes) -> str:
        """Store bytes and return their SHA-256, hexadecimal. Storing the same bytes again is harmless.

        Raises: NodeError RESOURCE_EXHAUSTED if the store is full; SystemFault if it does not answer.
        """
        digest = await _digest(data)
        try:
            # Written even if it is there: that renews its age, so the sweeper does not take what is in use again.
            await obstore.put_async(self._store, object_path(tenant, digest), data)
        except (BaseError, OSError) as error:
            raise _fault(error, "store", digest) from error
        return digest

    def put_at_once(self, tenant: TenantId, data: bytes) -> str:
        """The same as `put`, for callers that cannot wait."""
        digest = hashlib.sha256(data).hexdigest()
        try:
            obstore.put(self._store, object_path(tenant, digest), data)
        except (BaseError, OSError) as error:
            raise _fault(error, "store", digest) from error
        return digest

    def get_at_once(self, tenant: TenantId, sha256: str) -> bytes:
        """The same as `get`, for callers that cannot wait."""
        path = object_path(tenant, sha256)
        try:
            data = bytes(obstore.get(self._store, path).bytes())
        except FileNotFoundError:
            raise NotFound(f"object {sha256} is not there") from None
        except (BaseError, OSError) as error:
            raise _fault(error, "read", sha256) from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise _damaged(sha256)
        return data

    async def get(self, tenant: TenantId, sha256: str) -> bytes:
        """The bytes of that SHA-256.

        Raises: ValueError if it is no SHA-256; NotFound; SystemFault if the store does not answer or the content is
        not what its name says.
        """
        path = object_path(tenant, sha256)
        try:
            data = bytes(await (await obstore.get_async(self._store, path)).bytes_async())
        except FileNotFoundError:
            raise NotFound(f"object {sha256} is not there") from None
        except (BaseError, OSError) as error:
            raise _fault(error, "read", sha256) from error
        if await _digest(data) != sha256:
            raise _damaged(sha256)
        return data

    async def exists(self, tenant: TenantId, sha256: str) -> bool:
        """Raises: ValueError if it is no SHA-256; SystemFault if the store does not answer."""
        try:
            await obstore.head_async(self._store, object_path(tenant, sha256))
        except FileNotFoundError:
            return False
        except (BaseError, OSError) as error:
            raise _fault(error, "find", sha256) from error
        return True

    # ---- for upkeep

    async def objects_of(self, tenant: TenantId, digits: str) -> list[tuple[str, datetime]]:
        """SHA-256 and time of the last writing of a tenant's objects that begin with these two digits.

        Raises: SystemFault if the store does not answer.
        """
        found: list[tuple[str, datetime]] = []
        try:
            async for chunk in obstore.list(self._store, f"{tenant}/{digits}/", chunk_size=1000):
                names = [(meta["path"].rpartition("/")[2], meta["last_modified"]) for meta in chunk]
                found += [(name, at) for name, at in names if _SHA256.fullmatch(name)]
        except (BaseError, OSError) as error:
            raise SystemFault(f"the object store could not list objects: {type(error).__name__}") from error
        return found

    async def all_objects(self) -> AsyncGenerator[tuple[UUID, str]]:
        """Tenant and SHA-256 of every object, in no order. Raises: SystemFault if the store does not answer."""
        try:
            async for chunk in obstore.list(self._store, chunk_size=1000):
                for meta in chunk:
                    if (found := _OBJECT.fullmatch(meta["path"])) is not None:
                        yield UUID(found[1]), found[2]
        except (BaseError, OSError) as error:
            raise SystemFault(f"the object store could not list objects: {type(error).__name__}") from error

    async def remove(self, tenant: TenantId, sha256: str, *, written_before: datetime) -> bool:
        """Remove an object, unless it was written again since; False if it was, or is gone.

        Raises: SystemFault if the store does not answer.
        """
        path = object_path(tenant, sha256)
        try:
            if (await obstore.head_async(self._store, path))["last_modified"] >= written_before:
                return False
            await obstore.delete_async(self._store, path)
        except FileNotFoundError:
            return False
        except (BaseError, OSError) as error:
            raise _fault(error, "remove", sha256) from error
        return True


def _check_folder(store: LocalStore) -> None:
    """Raises: OSError if nothing can be written there."""
    folder = Path(str(store.prefix))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder} cannot be written")


class Values:
    """Node data to Values and back; see `engine.dag.values` for the forms.

    Parsed objects are kept in memory up to `cache_bytes` of JSON and shared: nobody may change what `load` returns.
    """

    def __init__(self, objects: ObjectStore, *, cache_bytes: int = CACHE_BYTES) -> None:
        self._objects = objects
        self._cache_bytes = cache_bytes
        self._cached_bytes = 0
        self._cache: OrderedDict[tuple[TenantId, str], tuple[Any, int]] = OrderedDict()
        self._loading: dict[tuple[TenantId, str], asyncio.Task[Any]] = {}

    async def store(self, tenant: TenantId, data: Any, inline_limit: int = INLINE_LIMIT_BYTES) -> Value:
        """Data as an inline Value, or as a reference if its JSON is longer than `inline_limit` bytes.

        Raises: NodeError if the data are no JSON data, or the store is full; SystemFault if it does not answer.
        """
        raw = _to_json(data)
        if len(raw) <= inline_limit:
            return inline(data, len(raw))
        return stored(await self._objects.put(tenant, raw), len(raw))

    async def load(self, tenant: TenantId, value: Value) -> Any:
        """The data of a Value of any form; the result is not to be changed.

        Raises: NotFound, SystemFault as `ObjectStore.get`; IndexError for an element past its list's end.
        """
        if "v" in value:
            return value["v"]
        if "r" in value:
            return await self._stored(tenant, value["r"])
        if "e" in value:
            whole, index = value["e"]
            return (await self.load(tenant, whole))[index]
        if "l" in value:
            return [await self.load(tenant, item) for item in value["l"]]
        if "c" in value:
            return [item for part in value["c"] for item in await self.load(tenant, part)]
        return {key: await self.load(tenant, item) for key, item in value["o"].items()}

    async def is_there(self, tenant: TenantId, value: Value) -> bool:
        """Whether a Value that `store` gave can still be loaded.

        Raises: SystemFault if the store does not answer.
        """
        return "r" not in value or await self._objects.exists(tenant, value["r"])

    async def _stored(self, tenant: TenantId, sha256: str) -> Any:
        key = (tenant, sha256)
        cached = self._cache.get(key)
        if cached is not None:
            self._cache.move_to_end(key)
            return cached[0]
        # Readers of one object at the same time read it once; one that is cancelled does not take it from the others.
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.create_task(self._read(key))
            task.add_done_callback(lambda _: self._loading.pop(key, None))
        return await asyncio.shield(task)

    async def _read(self, key: tuple[TenantId, str]) -> Any:
        raw = await self._objects.get(*key)
        data = await asyncio.to_thread(orjson.loads, raw) if len(raw) > OFF_LOOP_BYTES else orjson.loads(raw)
        self._remember(key, data, len(raw))
        return data

    def _remember(self, key: tuple[TenantId, str], data: Any, size: int) -> None:
        if size > self._cache_bytes:
            return
        self._cache[key] = (data, size)
        self._cached_bytes += size
        while self._cached_bytes > self._cache_bytes:
            _, (_, dropped) = self._cache.popitem(last=False)
            self._cached_bytes -= dropped


def _damaged(sha256: str) -> SystemFault:
    return SystemFault(f"object {sha256} is damaged: its content has another digest", code="OBJECT_DAMAGED")


def object_path(tenant: TenantId, sha256: str) -> str:
    """Where an object stands: `{tenant}/{first two digits}/{sha256}`. Raises: ValueError if it is no SHA-256."""
    if _SHA256.fullmatch(sha256) is None:
        raise ValueError("an object's name is 64 lower-case hexadecimal digits")
    return f"{tenant}/{sha256[:2]}/{sha256}"


async def _digest(data: bytes) -> str:
    if len(data) <= OFF_LOOP_BYTES:
        return hashlib.sha256(data).hexdigest()
    return (await asyncio.to_thread(hashlib.sha256, data)).hexdigest()


def _to_json(data: Any) -> bytes:
    try:
        return orjson.dumps(data, option=_JSON_ONLY)
    except (TypeError, ValueError) as error:
        raise NodeError(f"the output is no JSON data: {error}", code=EXPRESSION_ERROR) from None


def _fault(error: Exception, verb: str, sha256: str) -> NodeError | SystemFault:
    if _FULL.search(str(error)):
        return NodeError("the object store is full: free space or raise its quota", code=RESOURCE_EXHAUSTED)
    return SystemFault(f"the object store could not {verb} {sha256}: {type(error).__name__}")
