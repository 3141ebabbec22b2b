"""The models that a tenant may call: its own rows, and those of the operator's file `ai-models.yaml`.

    gpt: {provider: openai, model: gpt-5-mini, credential: openai, price_input: 0.25, price_output: 2}
    local: {provider: ollama, model: "llama3.2", base_url: "http://127.0.0.1:11434", price_input: 0, price_output: 0}

The file is for all tenants; a row of the same name wins. It is read again when it changes. The addresses in it are the
operator's word and may be internal ones.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError

from engine.activities.generation.fields import AiModelFields
from engine.errors import INVALID_CONFIG, ConfigurationError, NodeError
from models.repositories.ai_models import AiModels, ModelFields
from models.session import Database
from models.tenancy import TenantId

_COLUMNS = tuple(item.name for item in fields(ModelFields))


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model, and whether the operator wrote where it is served."""

    fields: ModelFields
    trusted: bool


class ModelFile:
    """The models of one file; a file that is not there holds none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at: tuple[int, int] | None = None
        self._models: dict[str, ModelFields] = {}

    def models(self) -> dict[str, ModelFields]:
        """Raises: ConfigurationError naming what is wrong with which entry."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._read_at, self._models = None, {}
            return self._models
        seen = (status.st_mtime_ns, status.st_size)
        if seen != self._read_at:
            self._models = read_models(self._path.read_text(encoding="utf-8"), self._path.name)
            self._read_at = seen
        return self._models


def read_models(text: str, source: str) -> dict[str, ModelFields]:
    """Models by name. Raises: ConfigurationError."""
    try:
        tree: Any = yaml.safe_load(text) or {}
    except yaml.YAMLError:
        tree = None
    if not isinstance(tree, dict):
        raise ConfigurationError(f"{source} is no YAML mapping of names to AI models")
    return {str(name): _model(str(name), entry, source) for name, entry in cast("dict[Any, Any]", tree).items()}


def _model(name: str, entry: Any, source: str) -> ModelFields:
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{source}: {name} must be a mapping with a provider and a model")
    try:
        return AiModelFields.model_validate({"name": name, **cast("dict[str, Any]", entry)}).as_fields()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, (name, *first["loc"])))
        raise ConfigurationError(f"{source}: {place}: {first['msg'].removeprefix('Value error, ')}") from None


class ModelCatalogue:
    """Looks models up by name."""

    def __init__(self, database: Database, file: ModelFile) -> None:
        self._rows = AiModels(database)
        self._file = file

    async def get(self, tenant: TenantId, name: str) -> KnownModel:
        """The model of that name, which may be called.

        Raises: NodeError INVALID_CONFIG if there is none or it is switched off; SystemFault.
        """
        found = await self.find(tenant, name)
        if found is None:
            known = await self.names(tenant)
            shown = ", ".join(known) or "none: add one with POST /api/v1/ai-models, or to ai-models.yaml"
            message = f"no AI model is called {name!r}; known are {shown}"
            raise NodeError(message, code=INVALID_CONFIG, details={"model": name, "known": known})
        if not found.fields.enabled:
            raise NodeError(f"the AI model {name!r} is switched off", code=INVALID_CONFIG, details={"model": name})
        return found

    async def find(self, tenant: TenantId, name: str) -> KnownModel | None:
        """Raises: NodeError INVALID_CONFIG if the operator's file cannot be read; SystemFault."""
        row = (await self._rows.named(tenant, [name])).get(name)
        if row is not None:
            return KnownModel(ModelFields(**{column: getattr(row, column) for column in _COLUMNS}), trusted=False)
        listed = self._listed().get(name)
        return None if listed is None else KnownModel(listed, trusted=True)

    async def names(self, tenant: TenantId) -> list[str]:
        """Names of the models that may be called, sorted."""
        listed = [name for name, model in self._listed().items() if model.enabled]
        return sorted({*await self._rows.names(tenant), *listed})

    def _listed(self) -> dict[str, ModelFields]:
        try:
            return self._file.models()
        except ConfigurationError as error:
            raise NodeError(error.message, code=INVALID_CONFIG) from None
