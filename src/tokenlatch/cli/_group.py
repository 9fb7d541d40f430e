"""The group of all commands, each imported when it is called.

Law: what a command does is in its own file.
"""

from importlib import import_module
from typing import Any

import click

from tokenlatch import __version__
from tokenlatch.cli import COMMANDS


class LazyGroup(click.Group):
    """Finds its commands in the files of this folder; lists them without opening one."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names, in the order of ``--help``."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command; None: there is no such."""
        if cmd_name not in COMMANDS:
            return None
        command: Any = import_module(f"tokenlatch.cli.{cmd_name}").command
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list for ``--help``."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="tokenlatch %(version)s")
def group() -> None:
    """One refresh for all your workers."""
