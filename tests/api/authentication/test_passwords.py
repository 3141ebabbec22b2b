from __future__ import annotations

import asyncio
import threading

import pytest

from api.authentication.passwords import MAX_WAITING, Passwords, check_password
from engine.errors import StructForgeError, ValidationFailed


@pytest.mark.parametrize(
    "password",
    ["short", "aaaaaaaaaaaaaaaa", "password1234", " PassWord1234 ", "ada@example.org", "adalovelace1", "x" * 300],
)
def test_a_weak_password_is_refused(password: str) -> None:
    email = "ada@example.org" if "@" in password else "adalovelace@example.org"
    with pytest.raises(ValidationFailed):
        check_password(password, email, min_length=12)


def test_a_long_sentence_is_a_good_password() -> None:
    check_password("a long walk by the sea", "ada@example.org", min_length=12)


async def test_a_password_fits_its_hash_alone() -> None:
    passwords = Passwords(2)
    hashed = await passwords.hash("a long walk by the sea")
    assert hashed.startswith("$argon2id$")
    assert await passwords.verify("a long walk by the sea", hashed) == (True, None)
    assert await passwords.verify("a long walk by the lake", hashed) == (False, None)
    assert await passwords.verify("a long walk by the sea", None) == (False, None)
    assert await passwords.verify("a long walk by the sea", "no hash") == (False, None)


async def test_few_computations_run_at_a_time_and_too_many_waiters_are_turned_away() -> None:
    passwords = Passwords(2)
    running, most, lock = 0, 0, threading.Lock()
    two_run, go_on = threading.Event(), threading.Event()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if running == 2:
                two_run.set()
        go_on.wait(30)
        with lock:
            running -= 1

    compute = passwords._compute  # pyright: ignore[reportPrivateUsage]
    waiting = [asyncio.create_task(compute(work)) for _ in range(MAX_WAITING)]
    assert await asyncio.to_thread(two_run.wait, 10)
    with pytest.raises(StructForgeError) as refused:
        await compute(work)
    go_on.set()
    await asyncio.gather(*waiting)

    assert refused.value.code == "RESOURCE_EXHAUSTED"
    assert most == 2
