"""`make mutation`: change permissions, crypto and the graph's state a little, many times over; see which tests notice.

A group counts the mutants that its tests kill: by failing, by not loading, or by not coming to an end. The command
fails where fewer than `--bar` per cent are. `--sample N` takes N mutants of each group, the same for the same seed.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.mutants import Mutant, mutants_of, mutated
from tests.mutation.targets import GROUPS, ROOT, Group
from tests.mutation.trial import BROKEN, KILLED, SURVIVED, Verdict, load_libraries, start

_STARTING_S = 300
_LEAST_LIMIT_S = 60


@dataclass(frozen=True, slots=True)
class Chosen:
    """A mutant and the file that it changes."""

    path: Path
    mutant: Mutant

    @property
    def name(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.mutant.line} #{self.mutant.number} {self.mutant.text}"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options().parse_args(arguments)
    groups = [group for group in GROUPS if not options.only or group.name in options.only.split(",")]
    load_libraries()
    with _servers(groups) as servers:
        shares = [_try_group(group, options, servers) for group in groups]
    return 0 if min(shares) >= options.bar else 1


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--only", default="", help=f"groups, of {', '.join(group.name for group in GROUPS)}")
    parser.add_argument("--file", default="", help="only mutants of the sources whose path holds this")
    parser.add_argument("--sample", type=int, default=0, help="how many mutants of each group; 0 for all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="trials at once")
    parser.add_argument("--minutes", type=float, default=60, help="begin no trial of a group after this long")
    parser.add_argument("--bar", type=float, default=85.0, help="per cent of mutants that must be killed")
    return parser


def chosen_of(group: Group, *, part: str, sample: int, seed: int) -> list[Chosen]:
    """The mutants of a group in an order that a seed fixes: whatever time is left, the first ones are a sample."""
    found = [
        Chosen(path, mutant)
        for path in group.sources()
        if part in str(path.relative_to(ROOT))
        for mutant in mutants_of(path.read_text(encoding="utf-8"))
    ]
    random.Random(seed).shuffle(found)
    return found[:sample] if sample else found


def _try_group(group: Group, options: argparse.Namespace, servers: Path | None) -> float:
    """Try the mutants of a group and print what came of them; the share that was killed, in per cent."""
    chosen = chosen_of(group, part=options.file, sample=options.sample, seed=options.seed)
    limits = [_limit(stage.tests, servers if stage.on_servers else None) for stage in group.stages]
    ends_at = time.monotonic() + options.minutes * 60

    def attempt(one: Chosen) -> str | None:
        return _verdict(group, one, limits, servers) if time.monotonic() < ends_at else None

    counts = {KILLED: 0, SURVIVED: 0}
    with ThreadPoolExecutor(options.jobs) as threads:
        for one, word in zip(chosen, threads.map(attempt, chosen), strict=True):
            if word is None:
                continue
            counts[word] += 1
            if (tried := sum(counts.values())) % 25 == 0:
                print(f"  {tried} of {len(chosen)} tried, {counts[KILLED]} killed", flush=True)
            if word == SURVIVED:
                print(f"  survived  {one.name}", flush=True)
    tried = sum(counts.values())
    share = 100 * counts[KILLED] / max(tried, 1)
    print(
        f"{group.name}: {counts[KILLED]} of {tried} killed ({share:.1f} %), {len(chosen) - tried} not tried", flush=True
    )
    return share


def _limit(tests: Sequence[str], servers: Path | None) -> float:
    """Seconds of processor that tests may take: three times what they take unchanged, where they must pass."""
    verdict = start(tests, None, None, servers, 3600).wait(3600)
    if verdict.word != SURVIVED:
        raise SystemExit(f"the tests do not pass as they are: {' '.join(tests)}\n{verdict.tail}")
    return max(verdict.cpu_s * 3, 10)


def _verdict(group: Group, one: Chosen, limits: Sequence[float], servers: Path | None) -> str:
    tree = mutated(one.path.read_text(encoding="utf-8"), one.mutant.number)
    for stage, cpu_s in zip(group.stages, limits, strict=True):
        given = servers if stage.on_servers else None
        verdict: Verdict = start(stage.tests, one.path, tree, given, cpu_s).wait(_LEAST_LIMIT_S + cpu_s * 8)
        if verdict.word == BROKEN:
            raise SystemExit(f"no tests ran for {one.name}\n{verdict.tail}")
        if verdict.word == KILLED:
            return KILLED
    return SURVIVED


@contextmanager
def _servers(groups: Sequence[Group]) -> Generator[Path | None]:
    """The file with the settings of servers that run, if any of the groups needs some."""
    if not any(stage.on_servers for group in groups for stage in group.stages):
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="structforge-mutation-") as folder:
        place = Path(folder) / "settings"
        command = [sys.executable, "-m", "tests.mutation.servers", str(place)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT) as process:
            ends_at = time.monotonic() + _STARTING_S
            while not place.exists():
                if process.poll() is not None or time.monotonic() > ends_at:
                    raise SystemExit("the servers did not start")
                time.sleep(0.1)
            try:
                yield place
            finally:
                assert process.stdin is not None
                process.stdin.close()
                process.wait(60)


if __name__ == "__main__":
    sys.exit(main())
