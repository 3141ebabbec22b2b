"""Commands that the operator registers in a file, run without a shell. Fulfils `CommandPort` of the nodes.

    resize:
      argv: [/usr/bin/convert, "{source}", -resize, "{width}x{height}", "{target}"]
      arguments:
        source: {pattern: '[a-z0-9/_.]+', required: true}
        width: {pattern: '[0-9]{1,4}', required: true}
        height: {pattern: '[0-9]{1,4}', required: true}
        target: {pattern: '[a-z0-9/_.]+', required: true}
      timeout: 20s
      environment: {LANG: C.UTF-8}

The file must be readable by its owner alone. It is read again when it changes.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from engine.activities.clients.command_process import run_process
from engine.activities.clients.command_specs import CommandSpec, read_commands
from engine.errors import ACCESS_DENIED, EXECUTION_FAILED, INVALID_CONFIG, ConfigurationError, NodeError
from engine.nodes.scripting.ports import CommandOutcome

SETTING = "STRUCTFORGE_COMMANDS__FILE"
_SHOWN_CHARACTERS = 2000


class RegisteredCommands:
    """The commands of one file; without the file there are none, and every use is INVALID_CONFIG."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at: tuple[int, int, int] | None = None
        self._commands: dict[str, CommandSpec] = {}

    async def run(self, name: str, arguments: Mapping[str, str], deadline_s: float) -> CommandOutcome:
        """As the protocol says. The command is ended, with all that it started, when it takes too long."""
        spec = await asyncio.to_thread(self._get, name)
        argv = spec.argv_of(name, arguments)
        outcome = await run_process(
            name,
            argv,
            environment=spec.environment,
            timeout_s=min(spec.timeout.total_seconds(), deadline_s),
            max_output_bytes=spec.max_output_bytes,
        )
        if outcome.exit_code not in spec.success_codes:
            message = f"{name} ended with exit code {outcome.exit_code}"
            details = {
                "exit_code": outcome.exit_code,
                "stdout": outcome.stdout[-_SHOWN_CHARACTERS:],
                "stderr": outcome.stderr[-_SHOWN_CHARACTERS:],
            }
            raise NodeError(message, code=EXECUTION_FAILED, details=details, retryable=True)
        return outcome

    def _get(self, name: str) -> CommandSpec:
        try:
            registered = self._refresh()
        except ConfigurationError as error:
            raise NodeError(error.message, code=INVALID_CONFIG) from None
        if not registered:
            message = f"system commands are off: the operator registers them in the file that {SETTING} names"
            raise NodeError(message, code=INVALID_CONFIG, details={"setting": SETTING})
        found = self._commands.get(name)
        if found is None:
            message = f"no command is registered as {name[:60]!r}: the operator adds it to {self._path.name}"
            raise NodeError(message, code=ACCESS_DENIED, details={"command": name[:60]})
        return found

    def _refresh(self) -> bool:
        """Whether there is a file; it is read if it has changed.

        Raises: ConfigurationError.
        """
        try:
            # Opened first, so that what is checked is what is read.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._read_at, self._commands = None, {}
            return False
        except OSError as error:
            raise ConfigurationError(f"{self._path.name} cannot be read: {error.strerror}") from None
        with os.fdopen(descriptor, encoding="utf-8") as file:
            status = os.fstat(descriptor)
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stat.S_IMODE(status.st_mode) & 0o077:
                raise ConfigurationError(f"{self._path.name} may be read or written by others: chmod 600 it")
            if seen != self._read_at:
                self._commands = read_commands(file.read(), self._path.name)
                self._read_at = seen
        return True
