"""What scripts print their tables with. train.py starts without it, and without rich's console."""

from rich.console import Console


class Printer(Console):
    """Rich's console, which leaves a reader that goes away, as `head` does, to cli.script."""

    def on_broken_pipe(self) -> None:
        raise  # rich calls this while it handles the BrokenPipeError, and would exit with 1
