"""Cli: the command line, one thin file a subcommand, imported only when it is called.

Takes arguments; gives what the terminal shows, and an exit status.
May import every room; whatever is heavy only when a config or a folder has been found to be right.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any, Final

import click

from harness import __version__
from harness.errors import HarnessError

__all__ = ["cli", "main"]

SUBCOMMANDS: Final = {
    "run": "Run a config and report on it.",
    "report": "Render a run's folder again.",
    "compare": "Compare runs with each other.",
    "flame": "Sample a running vLLM with py-spy.",
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


def main() -> None:
    """Entry point: errors that are meant for the user end in one line and their own exit status."""
    try:
        status: Any = cli(standalone_mode=False)
    except HarnessError as error:
        for line in str(error).splitlines():
            click.echo(f"harness: {line}", err=True)
        sys.exit(error.exit_status)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("harness: interrupted", err=True)
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)
