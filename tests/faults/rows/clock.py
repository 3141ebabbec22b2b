"""Daylight saving at both edges, and schedulers and workers whose clocks are an hour off.

The clock is moved by a library that is put before the C library's calls; it takes a C compiler to make.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from pathlib import Path

from tests.faults.results import Result
from tests.faults.row import Order, Row, Size
from tests.faults.rows.skewed import run_skewed
from tests.faults.suites import run_tests

EDGES = "tests/engine/workflows/test_schedules.py"
SCHEDULES = 2
_SOURCE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long shift(void) { const char *s = getenv("FAULTS_CLOCK_S"); return s ? atol(s) : 0; }
int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(id, at);
    if (code == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) at->tv_sec += shift();
    return code;
}
int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    at->tv_sec = now.tv_sec; at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""


async def run(order: Order) -> Result:
    result = order.result()
    began = time.monotonic()
    await run_tests(result, EDGES, "-k", "daylight")
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        result.figures["clocks an hour off"] = "not run: needs Linux and a C compiler"
    else:
        folder = order.data_dir.parent / "clock"
        folder.mkdir(mode=0o755)
        library = await _compile(compiler, folder)
        ticks = max(1, order.size.executions // SCHEDULES)
        for hours in (1, -1):
            await run_skewed(order.data_dir / str(hours), library, hours * 3600, SCHEDULES, ticks, result)
    result.took_s = time.monotonic() - began
    return result


async def _compile(compiler: str, folder: Path) -> Path:
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(_SOURCE)
    process = await asyncio.create_subprocess_exec(
        compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl", env={**os.environ}
    )
    assert await process.wait() == 0, "the clock's library does not compile"
    return library


ROW = Row(
    "clock", "daylight saving, both edges; our own processes' clock an hour off", Size(20, 2), Size(500, 2), 5, run
)
