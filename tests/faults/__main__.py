"""`python -m tests.faults run`: every row of the fault table, or some, with a report as text and as JSON lines."""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import structlog

from tests.faults.results import Result, add_result, read_results, table, text
from tests.faults.row import Order, Row
from tests.faults.table import TABLE
from tests.structforge.devstack.conftest import open_folder

PART_LIMIT_S = 3600  # a part that lasts longer hangs


def orders(rows: list[Row], *, full: bool, seed: int) -> Iterator[tuple[Row, Result]]:
    """Every part of the rows as an empty result that says which it is."""
    for row in rows:
        parts = row.parts if full else 1
        for part in range(1, parts + 1):
            yield row, Result(row.name, seed, size="full" if full else "ci", part=part, parts=parts)


def run_part(row: Row, wanted: Result, logs: Path) -> Result:
    """Run one part on servers of its own. What breaks the run itself is a violation; its logs are kept in `logs`."""
    full = wanted.size == "full"
    size = row.part_of(wanted.part) if full else row.ci
    seed = wanted.seed * 1000 + wanted.part if full else wanted.seed
    began = time.monotonic()
    with open_folder() as data_dir:
        result = asyncio.run(_bounded(row, Order(row.name, size, seed, data_dir)))
        if result.violations:
            _keep_logs(data_dir / "logs", logs / f"{row.name}-{seed}")
    result.seed, result.size, result.part, result.parts = wanted.seed, wanted.size, wanted.part, wanted.parts
    result.took_s = round(result.took_s or time.monotonic() - began, 1)
    return result


async def _bounded(row: Row, order: Order) -> Result:
    try:
        async with asyncio.timeout(PART_LIMIT_S):
            return await row.run(order)
    except Exception as error:  # a row that breaks must not hide those after it
        logging.getLogger(__name__).exception("%s broke", row.name)
        result = order.result()
        result.violations.append(f"the run broke: {type(error).__name__}: {error}")
        return result


def _keep_logs(found: Path, place: Path) -> None:
    if found.exists():
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(found, place)


def run(options: argparse.Namespace) -> int:
    rows = [row for row in TABLE if not options.only or row.name in options.only]
    file: Path = options.resume
    known = {result.place: result for result in read_results(file)}
    wanted = [(row, one) for row, one in orders(rows, full=options.full, seed=options.seed)]
    results: list[Result] = []
    for row, one in wanted:
        done = known.get(one.place) if options.full or options.keep else None
        if done is None or done.violations:
            done = run_part(row, one, file.parent / "logs")
            add_result(file, done)
            print(text(done), flush=True)
        results.append(done)
    print(f"\n{table(results)}")
    return 1 if any(result.violations for result in results) else 0


def report(options: argparse.Namespace) -> int:
    """The table of a file of results; of parts that ran more than once, the last."""
    print(table([*{result.place: result for result in read_results(options.resume)}.values()]))
    return 0


def main() -> int:
    """Exit code 1 if an invariant does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    commands = parser.add_subparsers(required=True)
    names = [row.name for row in TABLE]
    running = commands.add_parser("run", help="run rows, one after the other")
    running.add_argument("--only", action="append", choices=names, metavar="ROW", help=f"one of {', '.join(names)}")
    running.add_argument("--full", action="store_true", help="the full size; parts in the file are not run again")
    running.add_argument("--keep", action="store_true", help="at CI size too, do not run again what the file has")
    running.add_argument("--seed", type=int, default=1)
    running.set_defaults(call=run)
    reporting = commands.add_parser("report", help="the table of a file of results")
    reporting.set_defaults(call=report)
    for command in (running, reporting):
        command.add_argument("--resume", type=Path, default=Path(".faults/results.jsonl"), metavar="FILE")
    options = parser.parse_args()
    # What the libraries of this process say of servers that are away is no finding.
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    return options.call(options)


if __name__ == "__main__":
    sys.exit(main())
