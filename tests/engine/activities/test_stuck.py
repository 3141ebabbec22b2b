from __future__ import annotations

import asyncio
import sys

SCRIPT = """
import asyncio, re, sys, time
from engine.activities.stuck import StuckWatch

async def main():
    with StuckWatch(float(sys.argv[1])):
        await asyncio.sleep(1.2)
        print("alive", flush=True)
        {deed}
    time.sleep(1)
    print("over", flush=True)

asyncio.run(main())
"""


async def outcome(deed: str, after_s: float) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SCRIPT.format(deed=deed), str(after_s)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode(), err.decode()


async def test_loop_that_is_stuck_ends_the_process_and_shows_where() -> None:
    code, out, err = await outcome("while True: pass", 0.6)
    assert (code, out) == (1, "alive\n")
    assert "in main" in err


async def test_code_that_holds_the_interpreter_lock_is_no_way_out() -> None:
    code, out, _ = await outcome("re.match(r'(a+)+$', 'a' * 40 + 'b')", 0.6)
    assert (code, out) == (1, "alive\n")


async def test_loop_that_turns_is_left_alone_and_nothing_stays_armed() -> None:
    assert await outcome("pass", 0.6) == (0, "alive\nover\n", "")


async def test_zero_turns_it_off() -> None:
    assert (await outcome("time.sleep(1)", 0))[:2] == (0, "alive\nover\n")
