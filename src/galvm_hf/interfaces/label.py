"""`galvm label`: the human in the loop, in the browser."""

from pathlib import Path
from typing import Annotated

import typer

from .console import plain_errors
from .options import DeviceOption


def label(
    collection: Annotated[
        Path | None,
        typer.Argument(help="What to search, from `galvm prepare collection`. Without: simulated galaxies."),
    ] = None,
    sessions: Annotated[Path, typer.Option(help="Folder that sessions are kept in.")] = Path("galvm-sessions"),
    host: Annotated[
        str, typer.Option(help="Address to listen at. 0.0.0.0 lets in others; the page asks for no password.")
    ] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Port; a free one from 7860 on without it.")] = None,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Show the page in the browser.")] = True,
    model: Annotated[
        str | None, typer.Option(help="Checkpoint for uploaded images; by default the one the collection names.")
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Find any kind of galaxy in a collection, from a few examples and rounds of ten questions, in the browser.

    Each answer is on disk before the page shows it, and all sessions are there again when it is started again. Nothing
    leaves this machine.

    Examples:

        galvm label

        galvm label survey --sessions ~/spirals --port 8000
    """
    with plain_errors():
        from .space import open_desk, serve

        with open_desk(collection, sessions, model, device) as desk:
            serve(desk, host, port, open_browser)
