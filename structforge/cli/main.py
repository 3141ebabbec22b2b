"""The command `structforge`: its groups, and what every command shares: errors and exit codes.

Exit codes: 0 success, 1 a failed execution or a refusal by the server, 2 an invalid document, usage or setting,
130 Ctrl-C. A traceback is printed only if STRUCTFORGE_DEBUG is set.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from structforge.cli import (
    approvals,
    credentials,
    database,
    deployments,
    events,
    executions,
    fleet,
    library,
    nodes,
    plugins,
    runs,
    serving,
    system,
    users,
    workflows,
)

DEBUG_VARIABLE = "STRUCTFORGE_DEBUG"
INTERRUPTED = 130

app = typer.Typer(
    name="structforge",
    help="Workflows defined as data, run durably on Temporal.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (
    serving,
    runs,
    workflows,
    library,
    nodes,
    plugins,
    executions,
    events,
    approvals,
    system,
    database,
    fleet,
    deployments,
    credentials,
    users,
):
    group.register(app)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit; nothing but SystemExit ever leaves."""
    raise SystemExit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command; the exit code."""
    try:
        app(args=list(arguments), prog_name="structforge")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe has gone, as `| head` does; the interpreter must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        from structforge.cli.terminal import show_error

        return show_error(error)
    return 0
