"""Cli: the command line, one thin file a subcommand, imported only when it is called.

Takes arguments; gives what the terminal shows, and an exit status.
May import every room; whatever is heavy only when a config or a folder has been found to be right.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from harness import __version__
from harness.cli.last_resort import BROKEN_PIPE, say, sound_streams, told_with_details, why_unprintable
from harness.errors import HarnessError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["cli", "main"]

SUBCOMMANDS: Final = {
    "ab": "Hold a patch, a source tree or a function against what is installed.",
    "run": "Run a config and report on it.",
    "resume": "Go on with a run at launch grain that was cut short.",
    "profile": "Tell where a turn's host time goes, phase by phase.",
    "report": "Render a run's folder again.",
    "compare": "Compare runs with each other.",
    "flame": "Sample a running vLLM with py-spy.",
    "env": "Make, list and remove environments with other releases of vLLM.",
    "list": "List seams, arms, probes and configs.",
    "selftest": "Plant known delays and see whether they are recovered.",
    "doctor": "Check this machine, this vLLM and a config's targets.",
}


class _LazyGroup(click.Group):
    """Knows its subcommands by name and help; imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUBCOMMANDS:
            return None
        command: click.Command = importlib.import_module(f"harness.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(SUBCOMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="harness")
def cli() -> None:
    """Profile and compare the host code of a real LLM engine's model-runner loop (vLLM's)."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point: whatever goes wrong ends in lines for the user and an exit status of its own, never in a traceback.

    Args:
        arguments: of the command line; those of the process where there are none.
    """
    sound_streams()
    status: Any
    unforeseen = None
    try:
        status = cli(arguments, standalone_mode=False)
    except HarnessError as error:
        say(str(error))
        status = error.exit_status
    except click.ClickException as error:
        with contextlib.suppress(OSError):
            error.show()
        status = 2
    except (click.Abort, KeyboardInterrupt):
        say("interrupted")
        status = 130
    except Exception as error:  # noqa: BLE001 (the last resort: a fault of harness itself, which can be any)
        status, unforeseen = 1, error
    if why := why_unprintable(unforeseen):
        status = status or 1
        if why != BROKEN_PIPE:  # whoever reads has seen enough, as in `| head`
            say(f"standard output cannot be written: {why}; what was written to files is there")
    if unforeseen is not None and not (why and isinstance(unforeseen, OSError)):
        say(told_with_details(unforeseen))
    sys.exit(status if isinstance(status, int) else 0)
