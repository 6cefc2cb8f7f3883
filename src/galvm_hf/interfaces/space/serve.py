"""Start the page, on this machine or as a Space."""

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ...hitl import Collection
from .desk import MAX_UPLOAD, Desk
from .survey import simulated_survey

REPOSITORY = "GALVM_LABELS_REPO"  # environment variable: a dataset repository that labels go to
COMMIT_MINUTES = 5
IGNORED = ["*.lock"]
# Everything is served from here, and a browser refuses whatever is not. Gradio's own scripts are inline and compiled.
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"
FONTS = ["system-ui", "sans-serif"]


@contextmanager
def open_desk(
    collection: Path | None, folder: Path, model: str | None = None, device: str = "auto", number: int | None = None
) -> Iterator[Desk]:
    """A desk for a collection, or for the embedded simulated one, with its sessions in a folder.

    On a Space whose variable `GALVM_LABELS_REPO` names a dataset repository, what lies there is fetched first, and what
    is new is committed to it every five minutes and at the end, as the disk of a Space does not last.

    Args:
        collection: Folder of it; without one, simulated galaxies.
        folder: For sessions, and the simulated collection.
        model: Checkpoint for uploaded images, and for simulated galaxies.
        device: As torch names it, or "auto".
        number: Of simulated galaxies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        repository = os.environ.get(REPOSITORY) if os.environ.get("SPACE_ID") else None
        if repository:
            _fetch(repository, folder)
        if collection is None:
            settings = {"number": number} if number else {}
            found = simulated_survey(folder, model or "galvm", device, **settings)
        else:
            found = Collection(collection)
        if repository:
            from huggingface_hub import CommitScheduler

            stack.enter_context(
                CommitScheduler(
                    repo_id=repository,
                    repo_type="dataset",
                    folder_path=folder,
                    every=COMMIT_MINUTES,
                    private=True,
                    ignore_patterns=IGNORED,
                )
            )
        yield stack.enter_context(Desk(found, folder, model, is_simulated=collection is None))


def serve(desk: Desk, host: str | None = None, port: int | None = None, open_browser: bool = False) -> None:
    """Serve the page until it is stopped by Ctrl-C or SIGTERM.

    Args:
        desk: With the sessions.
        host: Address to listen at; Gradio's default, this machine alone, if none.
        port: A free one from 7860 on, if none.
        open_browser: Whether to show the page at once.

    Raises:
        ImportError: If gradio is not installed.
        OSError: If the port is taken.
    """
    # read by Gradio when it is imported, and when its queue is made
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "1"  # else each event would be summed up with all before it
    try:
        import gradio as gr
    except ImportError as error:
        raise ImportError('The page needs gradio: pip install "galvm_hf[hitl]"') from error
    from starlette.middleware import Middleware

    from .page import HERE, build_page

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # how a Space is stopped: sessions are closed then too
    with tempfile.TemporaryDirectory(prefix="galvm-label-") as scratch:
        os.environ["GRADIO_TEMP_DIR"] = scratch  # uploads on their way, and downloads
        blocks = build_page(desk, Path(scratch) / "exports")
        _, address, _ = blocks.launch(
            server_name=host,
            server_port=port,
            inbrowser=open_browser,
            share=False,
            ssr_mode=False,
            quiet=True,
            prevent_thread_lock=True,
            show_error=True,
            footer_links=["api"],
            max_file_size=MAX_UPLOAD,
            app_kwargs={"middleware": [Middleware(_OnlyFromHere)]},
            theme=gr.themes.Default(font=FONTS, font_mono=["ui-monospace", "monospace"]),
            css_paths=HERE / "page.css",
        )
        print(f"{len(desk.collection):,} galaxies at {address} (Ctrl-C ends it)", flush=True)
        blocks.block_thread()


class _OnlyFromHere:
    """Forbids the browser to load anything from elsewhere (ASGI middleware)."""

    def __init__(self, app: Any):
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        await self._app(scope, receive, send_with_policy)


def _fetch(repository: str, folder: Path) -> None:
    from huggingface_hub import HfApi, snapshot_download

    if HfApi().repo_exists(repository, repo_type="dataset"):
        snapshot_download(repository, repo_type="dataset", local_dir=folder)
