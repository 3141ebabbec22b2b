"""Rows that stand as tests already: they are run by pytest in a process of their own."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

from tests.faults.results import Result

ROOT = Path(__file__).parents[2]
_COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped)")


async def run_tests(result: Result, *arguments: str) -> None:
    """Run tests; every one that fails is a violation, and each that passed counts as an execution."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    text = output.decode("utf-8", "replace")
    counts = {kind: int(count) for count, kind in _COUNT.findall(text)}
    result.figures["tests passed"] = counts.get("passed", 0)
    result.executions += counts.get("passed", 0)
    if process.returncode != 0 or not counts.get("passed"):
        result.violations.append(f"pytest {' '.join(arguments)} ended with {process.returncode}:\n{text[-1500:]}")
