"""Draws what the queries of a dashboard return, as small line charts."""

from xml.sax.saxutils import escape

COLUMNS, WIDTH, HEIGHT, GAP = 3, 300, 150, 14
COLORS = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f"]
TOP, BOTTOM = 24, 34


def number(value: float) -> str:
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}"


def draw(panels: list[tuple[str, str, list[tuple[str, list[tuple[float, float]]]]]]) -> str:
    """`panels` are title, unit, and series of a legend with points of time and value."""
    rows = -(-len(panels) // COLUMNS)
    width = COLUMNS * (WIDTH + GAP) + GAP
    height = rows * (HEIGHT + GAP) + GAP
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="9">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for index, (title, unit, series) in enumerate(panels):
        x = GAP + index % COLUMNS * (WIDTH + GAP)
        y = GAP + index // COLUMNS * (HEIGHT + GAP)
        out.append(f'<g transform="translate({x},{y})">')
        out += panel(title, unit, series)
        out.append("</g>")
    return "\n".join([*out, "</svg>", ""])


def panel(title: str, unit: str, series: list) -> list[str]:
    values = [value for _, points in series for _, value in points]
    times = [time for _, points in series for time, _ in points]
    most = max([*values, 0.0]) or 1.0
    first, last = min(times, default=0), max(times, default=1)
    plot = HEIGHT - TOP - BOTTOM

    def place(time: float, value: float) -> str:
        across = (time - first) / ((last - first) or 1) * (WIDTH - 48) + 40
        return f"{across:.0f},{TOP + plot - value / most * plot:.0f}"

    out = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#ccc"/>',
        f'<text x="8" y="15" font-size="11" font-weight="bold">{escape(title)}</text>',
        f'<text x="36" y="{TOP + 6}" text-anchor="end">{number(most)}</text>',
        f'<text x="36" y="{TOP + plot}" text-anchor="end">0</text>',
        f'<text x="{WIDTH - 8}" y="15" text-anchor="end" fill="#666">{escape(unit)}</text>',
        f'<path d="M40 {TOP}v{plot}h{WIDTH - 48}" fill="none" stroke="#999"/>',
    ]
    legend, across, down = [], 8, HEIGHT - 20
    for index, (name, points) in enumerate(series[: len(COLORS)]):
        color = COLORS[index]
        line = " ".join(place(*point) for point in points)
        out.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="1.3"/>')
        name = name if len(name) <= 44 else name[:43] + "…"
        wide = 12 + 5 * len(name)
        if across + wide > WIDTH and across > 8:
            across, down = 8, down + 12
        if down < HEIGHT:
            legend.append(f'<text x="{across}" y="{down}" fill="{color}">{escape(name)}</text>')
        across += wide
    return out + legend
