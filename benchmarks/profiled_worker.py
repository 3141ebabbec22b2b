"""A StructForge worker under cProfile: `python -m benchmarks.profiled_worker FILE` writes its statistics at SIGTERM."""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from engine.settings import load_settings
from worker import serve

# Processor time: waiting does not count, and neither does what else runs on the machine.
_TIMER = time.thread_time if sys.version_info < (3, 12) else time.process_time


def main(path: str) -> None:
    profiles = [cProfile.Profile(_TIMER)]
    if sys.version_info < (3, 12):
        # Workflow tasks run in threads of their own. From 3.12 on one profile sees every thread by itself.
        threading.setprofile(_profile_thread(profiles))
    profiles[0].enable()
    try:
        asyncio.run(serve(load_settings()))
    finally:
        profiles[0].disable()
        statistics = pstats.Stats(profiles[0])
        for profile in profiles[1:]:
            if profile.getstats():
                statistics.add(pstats.Stats(profile))
        statistics.dump_stats(path)


def _profile_thread(profiles: list[cProfile.Profile]) -> Callable[[Any, str, Any], None]:
    def begin(_frame: Any, _event: str, _argument: Any) -> None:
        profile = cProfile.Profile(_TIMER)
        profiles.append(profile)
        profile.enable()  # takes the place of this function in its thread

    return begin


if __name__ == "__main__":
    main(sys.argv[1])
