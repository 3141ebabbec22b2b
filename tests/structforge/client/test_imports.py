"""The client stands alone: it can be taken without the server's code."""

from __future__ import annotations

import json
import subprocess
import sys

# The errors are the engine's on purpose; they import nothing.
ALLOWED = {"engine", "engine.errors"}


def test_the_client_brings_nothing_of_the_server_with_it() -> None:
    code = "import json, sys; import structforge.client; print(json.dumps(sorted(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = json.loads(shown.stdout)

    ours = {
        name for name in loaded if name.partition(".")[0] in ("api", "engine", "models", "worker", "scheduler_sync")
    }
    vendors = {name for name in loaded if name in ("temporalio", "asyncpg", "fastapi", "sqlmodel", "redis")}
    assert ours <= ALLOWED
    assert vendors == set()
