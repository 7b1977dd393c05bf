"""What scripts print their tables with. train.py starts without it, and without rich's console."""

import sys

from rich.console import Console


class Printer(Console):
    """Rich's console, which leaves a reader that goes away, as `head` does, to cli.script."""

    def on_broken_pipe(self) -> None:
        raise  # rich calls this while it handles the BrokenPipeError, and would exit with 1


def table_printer(width_of_a_pipe: int) -> Printer:
    """A printer as wide as the terminal, or `width_of_a_pipe` columns wide in a pipe or a file."""
    return Printer(width=None if sys.stdout.isatty() else width_of_a_pipe)
