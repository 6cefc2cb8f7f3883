"""One self-contained HTML page: text, pictures and plots, with nothing to fetch."""

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..files import whole_file

STYLE = """
:root { color-scheme: light dark; --ink: #1d2330; --soft: #667085; --paper: #f7f8fb; --card: #fff; --line: #e2e6ee;
        --accent: #5a54d6; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaf2; --soft: #98a1b5; --paper: #0d1018; --card: #161b27; --line: #283042; --accent: #a09bff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.6 system-ui, sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 48px 24px 80px; }
h1 { font-size: 2.1rem; line-height: 1.2; margin: 0 0 8px; letter-spacing: -.02em; }
h2 { font-size: 1.25rem; margin: 0 0 4px; }
p { margin: 4px 0 14px; } .soft { color: var(--soft); }
.tag { display: inline-block; padding: 2px 12px; border-radius: 99px; font-size: .82rem; font-weight: 600;
       color: var(--accent); border: 1px solid var(--accent); margin-right: 6px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 24px;
          margin-top: 24px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 8px 12px 8px 0; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 500; font-size: .88rem; }
.strip { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(0, 168px); gap: 10px; margin: 12px 0; }
figure { margin: 0; }
figure img { width: 100%; aspect-ratio: 1; display: block; border-radius: 8px; background: #000; object-fit: contain; }
figcaption { font-size: .8rem; color: var(--soft); overflow-wrap: anywhere; line-height: 1.35; margin-top: 4px; }
main.wide { max-width: 1760px; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(156px, 1fr)); gap: 18px 14px; }
figcaption strong { color: var(--ink); } figcaption a { color: var(--accent); }
@media (max-width: 600px) { main { padding: 28px 14px 48px; } section { padding: 14px; } h1 { font-size: 1.5rem; } }
.plot { width: 100%; max-width: 640px; display: block; margin: 8px auto 0; }
"""


class Report:
    """Collects sections and writes the page.

    Args:
        title: Heading of the page.
        tags: Short labels under it, such as "simulated galaxies".
        lead: One paragraph.
        wide: Whether the page takes the width of a large screen.
    """

    def __init__(self, title: str, tags: Sequence[str], lead: str, wide: bool = False):
        self.title, self.wide = title, wide
        self.parts = [
            f"<h1>{escape(title)}</h1>",
            "".join(f'<span class="tag">{escape(tag)}</span>' for tag in tags),
            f"<p>{escape(lead)}</p>",
        ]

    def section(self, heading: str, text: str, *contents: str) -> None:
        """Add a section: heading, explanation, and what `table`, `strip`, `gallery` and `plot_features` return."""
        body = "".join(contents)
        self.parts.append(f'<section><h2>{escape(heading)}</h2><p class="soft">{escape(text)}</p>{body}</section>')

    def write(self, path: Path) -> None:
        """Write the page, whole or not at all."""
        main = '<main class="wide">' if self.wide else "<main>"
        page = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self.title)}</title><style>{STYLE}</style></head>"
            f"<body>{main}{''.join(self.parts)}</main></body></html>\n"
        )
        with whole_file(path) as temporary:
            temporary.write_text(page, encoding="utf-8")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def strip(images: Sequence[Any], captions: Sequence[str]) -> str:
    """PIL images in a row, each with a caption."""
    figures = (
        f'<figure><img alt="{escape(caption)}" src="{_data_uri(image)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for image, caption in zip(images, captions, strict=True)
    )
    return f'<div class="strip">{"".join(figures)}</div>'


def gallery(images: Sequence[Any], captions: Sequence[Sequence[str]], links: Sequence[tuple[str, str] | None]) -> str:
    """PIL images, as JPEG, in as many columns as the screen has room for.

    Args:
        images: One a card.
        captions: Lines of each, the first set off.
        links: Text and address of what each leads to, if it leads anywhere.
    """
    cards = []
    for image, (first, *others), link in zip(images, captions, links, strict=True):
        lines = [f"<strong>{escape(first)}</strong>", *map(escape, others)]
        if link is not None:
            lines.append(f'<a href="{escape(link[1])}" target="_blank" rel="noopener noreferrer">{escape(link[0])}</a>')
        cards.append(
            f'<figure><img alt="{escape(first)}" src="{_data_uri(image, "JPEG", quality=85)}">'
            f"<figcaption>{'<br>'.join(lines)}</figcaption></figure>"
        )
    return f'<div class="gallery">{"".join(cards)}</div>'


def plot_features(points: np.ndarray, classes: Sequence[str] | None) -> str:
    """A scatter plot of features reduced to two dimensions [N, 2], coloured by class where there are classes.

    Background and frame are left out and the text is a middle grey, so that it reads on light and on dark pages.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    groups = ["galaxies"] * len(points) if classes is None else list(classes)
    for name in sorted(set(groups)):
        chosen = points[[group == name for group in groups]]
        axes.scatter(chosen[:, 0], chosen[:, 1], s=14, alpha=0.75, linewidths=0, label=name)
    grey = "#8089a0"
    axes.set_xlabel("first principal component", color=grey)
    axes.set_ylabel("second principal component", color=grey)
    axes.tick_params(colors=grey)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(grey)
    if classes is not None:
        axes.legend(frameon=False, labelcolor=grey)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=160, transparent=True)
    return f'<img class="plot" alt="Features in two dimensions" src="{_as_uri(buffer.getvalue())}">'


def _data_uri(image: Any, kind: str = "PNG", **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return _as_uri(buffer.getvalue(), kind)


def _as_uri(encoded: bytes, kind: str = "PNG") -> str:
    return f"data:image/{kind.lower()};base64,{base64.b64encode(encoded).decode()}"
