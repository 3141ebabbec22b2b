"""Descriptions of isolated plugins, made anew where the code has changed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from engine.nodes.plugins.compatibility import check_requirement
from engine.nodes.plugins.description import is_current, write_description
from engine.nodes.plugins.discovery import sources_in
from engine.nodes.plugins.manifest import PluginFault, PluginSource
from engine.nodes.plugins.processes import describe_in_own_process

logger = structlog.get_logger(__name__)


async def describe_plugin(source: PluginSource) -> list[str]:
    """Let the plugin's own interpreter load its code, and write what it says; the names of its node types.

    Raises: PluginFault if it cannot be described, is not for this version, or its folder cannot be written.
    """
    check_requirement(source.manifest.requires_structforge)
    description = await describe_in_own_process(source)
    write_description(source, description)
    return [item["type"] for item in description["types"]]


async def describe_changed(folder: Path) -> None:
    """Describe every isolated plugin of a folder whose description is missing or out of date; faults are logged."""
    changed = [item for item in sources_in(folder) if item.manifest.isolated and not is_current(item)]
    await asyncio.gather(*(_describe_or_log(source) for source in changed))


async def _describe_or_log(source: PluginSource) -> None:
    try:
        await describe_plugin(source)
    except PluginFault as fault:
        logger.warning("plugin cannot be described", plugin=source.name, error=fault.message, hint=fault.hint)
