"""Settings of node types: what they may reach, and where the operator keeps what they use."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

from engine.settings.section import SectionRules


class HttpSettings(SectionRules, BaseModel):
    """`allowed_hosts`: host names or CIDR blocks that the guard against internal addresses lets through."""

    allowed_hosts: list[str] = []


class FileSettings(SectionRules, BaseModel):
    """`root` holds the tenants' files; by default the folder `files` in the data folder."""

    root: Path | None = None


class CredentialSettings(SectionRules, BaseModel):
    """`file` holds the operator's credentials; by default `credentials.yaml` in the data folder."""

    file: Path | None = None


class PluginSettings(SectionRules, BaseModel):
    """`folder` holds plugins, each a folder with a plugin.toml; by default the folder `plugins` in the data folder."""

    folder: Path | None = None


class ScriptSettings(SectionRules, BaseModel):
    """Scripts of the node type `script`. `processes` run the sandboxed interpreter, at most `max_isolated` scripts run
    in the isolation of `cpython` at a time, each with a /tmp of `tmp_bytes` (0 is none)."""

    processes: int = Field(default=4, gt=0)
    max_timeout_s: float = Field(default=60, gt=0)
    max_memory_bytes: int = Field(default=512 * 1024 * 1024, gt=0)
    cpython: bool = False
    max_isolated: int = Field(default=4, gt=0)
    tmp_bytes: int = Field(default=16 * 1024 * 1024, ge=0)


class CommandSettings(SectionRules, BaseModel):
    """`file` registers the commands of `system_command`; by default `commands.yaml` in the data folder."""

    file: Path | None = None


class AiSettings(SectionRules, BaseModel):
    """`models_file` holds AI models for all tenants; by default `ai-models.yaml` in the data folder."""

    models_file: Path | None = None
