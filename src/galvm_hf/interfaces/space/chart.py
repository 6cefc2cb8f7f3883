"""The yield of a session, as a small chart in the page."""

from typing import Any

WIDTH, HEIGHT = 320, 180
LEFT, RIGHT, TOP, BOTTOM = 34, 92, 10, 34
TICKS = (1, 2, 5)


def yield_chart(progress: list[dict[str, Any]]) -> str:
    """SVG of how many galaxies were answered and how many confirmed, after each round, all people together.

    Args:
        progress: As `Session.progress` gives it.
    """
    answered, confirmed = [0], [0]
    for one in progress:
        confirmed.append(confirmed[-1] + one["yes"])
        answered.append(answered[-1] + one["yes"] + one["no"])
    if len(answered) == 1:
        return "<p class='subdued'>The yield of each round will be shown here.</p>"
    last, most = len(answered) - 1, max(answered[-1], 1)

    def place(number: int, value: int) -> tuple[float, float]:
        across, up = number / last, value / most
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = []
    for value in _ticks(most, 4):
        y = place(0, value)[1]
        parts.append(f"<line class='grid' x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}'/>")
        parts.append(f"<text x='{LEFT - 6}' y='{y + 4:.1f}' text-anchor='end'>{value}</text>")
    for number in _ticks(last, 6):
        x = place(number, 0)[0]
        parts.append(f"<text x='{x:.1f}' y='{HEIGHT - BOTTOM + 15}' text-anchor='middle'>{number}</text>")
    parts.append(f"<text x='{(LEFT + WIDTH - RIGHT) / 2}' y='{HEIGHT - 3}' text-anchor='middle'>round</text>")
    apart = place(0, confirmed[-1])[1] - place(0, answered[-1])[1]
    for which, values, shift in (("answered", answered, 0), ("confirmed", confirmed, max(0, 14 - apart))):
        points = [place(number, value) for number, value in enumerate(values)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        x, y = points[-1]
        parts.append(f"<polyline class='{which}' points='{line}'/><circle class='{which}' cx='{x}' cy='{y}' r='3'/>")
        parts.append(f"<text x='{x + 7:.1f}' y='{y + 4 + shift:.1f}'>{values[-1]} {which}</text>")
    told = f"{confirmed[-1]} of {answered[-1]} galaxies confirmed in {last} rounds"
    return (
        f"<svg class='yield' viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{told}'>"
        f"<title>{told}</title>{''.join(parts)}</svg>"
    )


def _ticks(end: int, most: int) -> range:
    """Round numbers from 0 to `end`, no more than `most` steps."""
    step = next(factor * 10**power for power in range(10) for factor in TICKS if end <= factor * 10**power * most)
    return range(0, end + 1, step)
