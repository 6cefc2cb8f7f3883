"""What the commands share: errors in one line, lists and tables in plain text."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer

SKIPPED_SHOWN = 10


@contextmanager
def plain_errors() -> Iterator[None]:
    """What went wrong in one line and exit code 1, for everything that a user can mend."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # that of loading weights, which takes no time
    try:
        yield
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        typer.secho(f"Error: {' '.join(str(error).split()) or type(error).__name__}", fg=typer.colors.RED, err=True)
        raise typer.Exit(1) from None


def list_skipped(skipped: Sequence[Exception]) -> None:
    """Print the first of what was skipped, and how many more there are, to standard error."""
    for error in skipped[:SKIPPED_SHOWN]:
        typer.echo(f"skipped {error}", err=True)
    if len(skipped) > SKIPPED_SHOWN:
        typer.echo(f"... and {len(skipped) - SKIPPED_SHOWN} more", err=True)


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows of cells in aligned columns."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
