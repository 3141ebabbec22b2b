"""`python -m benchmarks compare|profile`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.comparing import FULL, QUICK, compare
from benchmarks.figures import Figure
from benchmarks.graphs import BUILT_IN, LARGE, graph_named
from benchmarks.profiling import profile
from benchmarks.report import print_figures, write_json
from benchmarks.subjects import VARIANTS


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, 2 for a graph or a file that is not there, or 130 when interrupted."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console(width=None if sys.stdout.isatty() else 130)
    try:
        for name in options.graphs:
            graph_named(name, options.wfformat)
    except (ValueError, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    try:
        (_compare if options.action == "compare" else _profile)(console, options)
    except KeyboardInterrupt:
        return 130
    return 0


def _interrupt(_number: int, _frame: object) -> None:
    """End by SIGTERM as by Ctrl-C, so that servers and folder go too."""
    signal.raise_signal(signal.SIGINT)


def _compare(console: Console, options: argparse.Namespace) -> None:
    names = [*options.graphs]
    if options.wfformat is not None and "wfformat" not in names:
        names.append("wfformat")
    effort = QUICK if options.quick else FULL
    figures: list[Figure] = asyncio.run(
        compare(console, names, effort, wfformat=options.wfformat, rounds=options.rounds)
    )
    print_figures(console, figures)
    if options.json is not None:
        write_json(options.json, figures)


def _profile(console: Console, options: argparse.Namespace) -> None:
    for name in options.graphs:
        asyncio.run(
            profile(
                console,
                graph_named(name, options.wfformat),
                options.variant,
                count=options.count,
                in_flight=min(options.in_flight, options.count),
                top=options.top,
                wfformat=options.wfformat,
            )
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    comparing = actions.add_parser("compare", help="StructForge against hand-written Temporal workflows")
    comparing.add_argument("--quick", action="store_true", help="fewer rounds: about a minute")
    comparing.add_argument("--graphs", type=_names, default=list(BUILT_IN), help=f"of {','.join((*BUILT_IN, *LARGE))}")
    comparing.add_argument("--rounds", type=_positive, help="rounds of the latency of each graph")
    comparing.add_argument("--json", type=Path, help="write the figures to this file")
    profiling = actions.add_parser("profile", help="where the time of a StructForge worker goes")
    profiling.add_argument("--variant", choices=VARIANTS[1:], default="local")
    profiling.add_argument("--graph", dest="graphs", type=_names, default=["layered"])
    profiling.add_argument("--count", type=_positive, default=10, help="executions")
    profiling.add_argument("--in-flight", type=_positive, default=1, help="executions at once")
    profiling.add_argument("--top", type=_positive, default=30, help="functions to show")
    for action in (comparing, profiling):
        action.add_argument("--wfformat", type=Path, help="a WfFormat 1.5 file")
    return parser


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
