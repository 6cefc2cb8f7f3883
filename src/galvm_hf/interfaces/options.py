"""Options that several commands have."""

from typing import Annotated

import typer

ModelOption = Annotated[
    str, typer.Option(help="`galvm` (the released checkpoint), a directory, or the name of a model on the Hub.")
]
DeviceOption = Annotated[str, typer.Option(help="`auto`, `cpu`, `cuda`, `cuda:1`, `mps`.")]
BatchOption = Annotated[int, typer.Option(min=1, help="Galaxies per step; fewer need less memory.")]
