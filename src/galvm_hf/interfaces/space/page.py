"""The page: what stands where, and which handler is called when."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...hitl.session import ROUND as ROUND_SIZE
from .api import add_api
from .desk import UPLOAD_SUFFIXES, Desk
from .exports import KINDS
from .handlers import ALPHA, STRATEGIES, Handlers, in_sentences, reply_in_sentences
from .markup import header
from .pictures import COLOUR, DEEPEST, LOOKS
from .views import ANSWERED, CANDIDATES, EXAMPLES, ROUND

HERE = Path(__file__).parent
VIEWS = (("Round", ROUND), ("Best and borderline", CANDIDATES), ("Examples", EXAMPLES), ("Answered", ANSWERED))
CONCURRENT = 40  # people whose clicks are handled at once
INTRODUCTION = """Say what you look for, and show three to five examples. Then answer rounds of ten questions: after
each one the model has learnt from all answers, and asks about other galaxies. Several people can share a session."""
EXPLAINED = """Let P be the yes and N the no of your last round. While P/N is at most alpha the next round shows the
highest scores; above alpha it shows the lowest, which teach what is *not* of the kind (Fu et al. 2024, section 2.4). In
the paper 0.1 steers to recall, 0.5 to balance, 0.9 to precision."""
KEYS = """<div class='keys'>Click a stamp for yes, again for no. Keys: <kbd>←</kbd> <kbd>→</kbd> <kbd>↑</kbd>
<kbd>↓</kbd> move · <kbd>y</kbd> yes · <kbd>n</kbd> no · <kbd>u</kbd> undo · <kbd>enter</kbd> next round ·
<kbd>space</kbd> look closer · <kbd>m</kbd> more like this · <kbd>esc</kbd> leave a field</div>"""
PRESS_U = "() => { document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'u', bubbles: true })) }"
GO_TO_DETAIL = "() => { if (innerWidth < 900) document.getElementById('detail').scrollIntoView() }"


def build_page(desk: Desk, exports: Path) -> Any:
    """The page as `gradio.Blocks`, with the named endpoints for clients.

    Nothing is kept in the server of who is at which session: that stands in the page, which so outlives the server.

    Args:
        desk: With the sessions.
        exports: Folder for files that are downloaded.
    """
    import gradio as gr

    handlers = Handlers(desk, exports)

    def answer(facts: dict) -> dict:
        return reply_in_sentences(handlers.answer, facts)

    def undo(facts: dict) -> dict:
        return reply_in_sentences(handlers.undo, facts)

    with gr.Blocks(title="GaLVM: find galaxies", analytics_enabled=False) as blocks:
        gr.HTML(header(desk.collection, desk.is_simulated), elem_id="heading")
        name, who = gr.Textbox(visible=False), gr.Textbox(visible=False)
        view, seed, looked_at = gr.JSON(visible=False), gr.Number(0, visible=False), gr.Textbox(visible=False)
        with gr.Column(elem_id="start") as beginning:
            gr.Markdown(INTRODUCTION)
            person = gr.Textbox(label="Your name", elem_id="person", max_lines=1)
            with gr.Row():
                with gr.Column(min_width=300):
                    target = gr.Textbox(label="Look for", placeholder="face-on spirals", elem_id="target", max_lines=1)
                    starting = gr.Button("Start a session", variant="primary")
                with gr.Column(min_width=300):
                    sessions = gr.Dropdown(label="Or go on with", choices=desk.names(), elem_id="sessions")
                    opening = gr.Button("Open it")
        with gr.Column(visible=False, elem_id="work") as work, gr.Row():
            with gr.Column(scale=3, min_width=320, elem_id="main"):
                title = gr.HTML(elem_id="title")
                views = gr.Radio(VIEWS, value=ROUND, show_label=False, container=False, elem_id="views")
                table = gr.HTML(
                    js_on_load=(HERE / "page.js").read_text(), server_functions=[answer, undo], elem_id="table"
                )
                with gr.Row(elem_id="actions"):
                    others = gr.Button("Other examples", size="sm", min_width=90)
                    undoing = gr.Button("Undo (u)", size="sm", min_width=90)
                    asking = gr.Button("Next round (enter)", variant="primary", size="sm", min_width=90, elem_id="next")
                gr.HTML(KEYS)
            with gr.Column(scale=1, min_width=300):
                detail = gr.HTML(
                    "<p class='subdued'>Look closer at a stamp to see it large here.</p>", elem_id="detail"
                )
                with gr.Accordion("Picture", open=False):
                    depth = gr.Slider(-DEEPEST, DEEPEST, 0, step=0.25, label="Stretch: brighter by (mag)")
                    bands = gr.Radio(LOOKS, value=COLOUR, label="Bands")
                with gr.Accordion("Rounds"):
                    strategy = gr.Dropdown(STRATEGIES, value=ALPHA, label="Ask about")
                    alpha = gr.Slider(0.05, 1.5, 0.5, step=0.05, label="alpha", elem_id="alpha")
                    gr.Markdown(EXPLAINED, elem_classes="subdued")
                    number = gr.Slider(5, 50, ROUND_SIZE, step=1, label="Galaxies a round")
                    chart = gr.HTML(elem_id="yield")
                with gr.Accordion("Add your own", open=False):
                    kind = gr.Radio(["yes", "no"], value="yes", label="What you add is of the kind")
                    image = gr.File(label=f"An image ({', '.join(UPLOAD_SUFFIXES)})", height=120, elem_id="upload")
                    text = gr.Textbox(label="Or a galaxy here: its name, or RA and Dec in degrees", max_lines=1)
                    adding = gr.Button("Add it", size="sm")
                    added = gr.Textbox(label="Added", interactive=False, elem_id="added")
                with gr.Accordion("Export", open=False):
                    wanted = gr.Dropdown(list(KINDS), value=next(iter(KINDS)), label="As")
                    exporting = gr.Button("Export", size="sm")
                    exported = gr.File(label="Download", interactive=False, height=90, elem_id="exported")

        entered = [beginning, work, sessions, person, name, who, title, view, table, views, chart]
        look, shown = [depth, bands], [view, table]

        def on(event: Callable, handler: Callable, inputs: Any, outputs: Any, **settings: Any) -> Any:
            settings = {"api_visibility": "private", "show_progress": "hidden"} | settings
            return event(in_sentences(handler), inputs, outputs, **settings)

        def load(request: gr.Request) -> tuple:
            return handlers.arrive(dict(request.query_params))

        def look_at(event: gr.EventData, name: str, depth: float, bands: str) -> tuple:
            return handlers.look(event.id, name, depth, bands)

        def search(event: gr.EventData, name: str, who: str, depth: float, bands: str) -> tuple:
            return handlers.show_similar(event.id, name, who, depth, bands)

        on(blocks.load, load, None, entered)
        for event in (starting.click, target.submit):
            on(event, handlers.start, [target, person], entered)
        on(opening.click, handlers.enter, [sessions, person], entered)
        for event in (table.next, asking.click):
            inputs = [name, who, strategy, alpha, number, *look]
            on(event, handlers.next_round, inputs, [*shown, views, chart], show_progress="minimal")
        on(views.input, handlers.change_view, [views, name, who, seed, *look], shown)
        on(others.click, handlers.other_examples, [name, who, seed, *look], [seed, *shown, views])
        for event in (depth.release, bands.input):
            on(event, handlers.restyle, [name, who, view, looked_at, *look], [table, detail])
        on(table.look, look_at, [name, *look], [looked_at, detail]).success(None, js=GO_TO_DETAIL)
        on(table.similar, search, [name, who, *look], [*shown, views])
        undoing.click(None, js=PRESS_U)
        upload = [name, who, image, kind]
        on(image.upload, handlers.add_image, upload, added, api_visibility="public", api_name="add_image")
        on(adding.click, handlers.add_named, [name, who, text, kind], added)
        on(exporting.click, handlers.export, [name, wanted], exported, show_progress="minimal")
        add_api(desk)
    blocks.queue(default_concurrency_limit=CONCURRENT)
    return blocks
