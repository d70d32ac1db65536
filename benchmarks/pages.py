"""Series as a Markdown table, and curves as drawings (SVG, by hand: a few lines need no library)."""

import math
import statistics
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from rounds import Series

WIDTH, HEIGHT, MARGIN = 640, 360, 56


def heading(name: str, machine: dict[str, Any], runs: int) -> str:
    versions = ", ".join(f"{library} {version}" for library, version in machine["versions"].items())
    about = f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}"
    return (
        f"# {name}\n\n{about}; {versions}.\nLoad when it ended: {machine['load']:.1f}. {runs} rounds; medians, with "
        "the smallest and the largest in brackets.\nRatios are medians of the ratios within a round.\n\n"
    )


def table(found: Iterable[Series]) -> str:
    rows = ["| case | way | median | | ratios |", "|---|---|---:|---|---|"]
    for series in found:
        versus = ", ".join(f"{statistics.median(v):.2f} of {name}" for name, v in series.against.items())
        spread = f"{series.unit} ({_short(min(series.values))} – {_short(max(series.values))})"
        rows.append(f"| {series.case} | {series.way} | {_short(series.median)} | {spread} | {versus} |")
    return "\n".join(rows) + "\n"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def plots(found: Sequence[Series]) -> dict[str, str]:
    """A drawing per curve: those series that stand somewhere on one."""
    curves = [series for series in found if series.x is not None]
    groups = groupby(curves, key=lambda series: (series.benchmark, series.case))
    return {
        f"{benchmark}-{case.partition(',')[0].replace(' ', '-')}": _drawing(case, list(points))
        for (benchmark, case), points in groups
    }


def _drawing(title: str, points: Sequence[Series]) -> str:
    """Logarithmic in x, linear from zero in y; bars from the smallest to the largest."""
    xs = [math.log2(point.x or 1) for point in points]
    top = max(max(point.values) for point in points) * 1.05
    left, width = xs[0], max(xs[-1] - xs[0], 1e-9)

    def across(x: float) -> float:
        return MARGIN + (x - left) / width * (WIDTH - 2 * MARGIN)

    def up(y: float) -> float:
        return HEIGHT - MARGIN - y / top * (HEIGHT - 2 * MARGIN)

    path = " ".join(f"{across(x):.1f},{up(point.median):.1f}" for x, point in zip(xs, points, strict=True))
    parts = [_line(MARGIN, up(0), WIDTH - MARGIN, up(0)), f'<polyline points="{path}" fill="none" stroke="#06c"/>']
    for share in (0.25, 0.5, 0.75, 1):
        parts.append(_line(MARGIN, up(top * share), WIDTH - MARGIN, up(top * share), "#ddd"))
        parts.append(_text(MARGIN - 6, up(top * share) + 4, _short(top * share), "end"))
    for x, point in zip(xs, points, strict=True):
        parts.append(_line(across(x), up(min(point.values)), across(x), up(max(point.values)), "#06c"))
        parts.append(_text(across(x), HEIGHT - MARGIN + 18, point.way, "middle"))
    parts.append(_text(WIDTH / 2, HEIGHT - 12, title, "middle"))
    parts.append(_text(MARGIN, MARGIN - 20, points[0].unit, "middle"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12">\n<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str = "#333") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
